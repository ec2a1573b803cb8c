//! What must hold when a call begins, and rule 11.

use std::{collections::BTreeMap, time::Duration};

use domain::{MessageId, Outcome};
use providers::SendResult;

use super::{Beginning, CallEnd, CallRecord, fencing::Fencing, snapshot::Snapshot};
use crate::plan::Settings;

const RULE_LEASE: &str = "a call starts only if its lease outlasts it";
const RULE_DEADLINE: &str = "no call after the deadline";
const RULE_BUDGET: &str = "no call beyond the budget of tries";
pub(super) const RULE_DUE: &str = "no call before its time";
const RULE_RETRY_AFTER: &str = "11: no retry before Retry-After";

/// Judges a call by the database's clock and row.
pub(super) fn may_begin(call: &Beginning<'_>, settings: &Settings) -> Option<(&'static str, String)> {
    let Beginning {
        message,
        attempt,
        row,
        now,
        ..
    } = call;
    let Some(row) = row else {
        return Some((RULE_LEASE, format!("{message} is called for and is in no outbox")));
    };
    let left = row.leased_until.map(|until| until.saturating_since(*now));
    let timeout = settings.engine.dispatch.lane.call_timeout;
    let (rule, problem) = if row.dead_at.is_some() || left.is_none_or(|left| left < timeout) {
        (RULE_LEASE, "its lease does not last")
    } else if row.progress.counted >= settings.engine.dispatch.attempts_max {
        (RULE_BUDGET, "its tries are used up")
    } else if row.progress.attempts + 1 != *attempt {
        (RULE_LEASE, "the attempt has another's number")
    } else if row.deadline_at <= *now {
        (RULE_DEADLINE, "its time is up")
    } else if row.due_at > *now {
        (RULE_DUE, "it is not due")
    } else {
        return None;
    };
    Some((
        rule,
        format!("{message}, attempt {attempt}: {problem}: {row:?} at {now}"),
    ))
}

/// After a 429 with Retry-After whose answer arrived, the next call waits, unless an operator redrove the message since.
pub(super) fn check_retry_after(
    snapshot: &Snapshot,
    calls: &[CallRecord],
    fencing: &Fencing,
    problems: &mut Vec<(&'static str, String)>,
) {
    let mut waits: BTreeMap<MessageId, (u32, Duration, Duration)> = BTreeMap::new();
    let mut in_order: Vec<&CallRecord> = calls.iter().collect();
    in_order.sort_by_key(|call| (call.message, call.attempt));
    for call in in_order {
        let CallRecord {
            message,
            attempt,
            began,
            ..
        } = call;
        if let Some((before, asked_at, until)) = waits.remove(message) {
            let redriven = fencing
                .redrives
                .get(message)
                .is_some_and(|times| times.iter().any(|time| *time >= asked_at && time <= began));
            if *began < until && !redriven {
                let detail = format!(
                    "{message}: attempt {attempt} at {began:?}; after attempt {before} it was to wait until {until:?}"
                );
                problems.push((RULE_RETRY_AFTER, detail));
            }
        }
        let Some((at, CallEnd::Answered(SendResult::RateLimited { retry_after, .. }))) = &call.ended else {
            continue;
        };
        let recorded = snapshot.messages.get(message).is_some_and(|detail| {
            let mut attempts = detail.attempts.iter();
            attempts.any(|row| row.number == *attempt && row.outcome == Outcome::RateLimited)
        });
        if let (true, Some(hint)) = (recorded, retry_after) {
            waits.insert(*message, (*attempt, *at, *at + *hint));
        }
    }
}
