//! Rules 3, 4 and 5: the recorded attempts agree with the calls the providers saw.

use std::{collections::BTreeMap, time::Duration};

use domain::{Direction, ErrorCode, FailureReason, MessageId, Outcome, Status};
use providers::SendResult;
use store::MessageDetail;

use super::{CallEnd, CallRecord, fencing::Fencing, snapshot::Snapshot};
use crate::plan::Plan;

pub(super) const RULE_EXPLAINED: &str = "3: what a provider saw is explained by attempts";
pub(super) const RULE_NUMBERS: &str = "4: attempts 1..n without gaps, at most one success";
pub(super) const RULE_REASONS: &str = "5: a message fails only by the rules";
const RULE_KEPT: &str = "what a node knows is recorded, if the store is well before its lease ends";
const RULE_FINAL: &str = "2: after faults stop everything becomes final";

/// For [`RULE_KEPT`]: how long the store must be well. After a failure a node pauses before it tries again.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn check(
    plan: &Plan,
    nodes_run_on: bool,
    snapshot: &Snapshot,
    calls: &[CallRecord],
    fencing: &Fencing,
    problems: &mut Vec<(&'static str, String)>,
) {
    let mut by_message: BTreeMap<MessageId, Vec<&CallRecord>> = BTreeMap::new();
    for call in calls {
        by_message.entry(call.message).or_default().push(call);
    }
    for (id, calls) in &by_message {
        if !snapshot.messages.contains_key(id) {
            problems.push((
                RULE_EXPLAINED,
                format!("{id} was sent {} times and is not stored", calls.len()),
            ));
        }
    }
    if nodes_run_on {
        what_is_known_is_recorded(plan, snapshot, calls, problems);
    }
    for (id, detail) in &snapshot.messages {
        let calls = by_message.get(id).map_or(&[][..], Vec::as_slice);
        let found = of_message(plan, snapshot, detail, calls, fencing);
        if let Some((rule, problem)) = found {
            let attempts: Vec<_> = detail
                .attempts
                .iter()
                .map(|attempt| attempt.outcome.as_str())
                .collect();
            problems.push((
                rule,
                format!(
                    "{id} ({}): {problem}; attempts {attempts:?}",
                    detail.message.status
                ),
            ));
        }
    }
}

/// The answer to a call is lost only with the node that got it, or with its lease.
fn what_is_known_is_recorded(
    plan: &Plan,
    snapshot: &Snapshot,
    calls: &[CallRecord],
    problems: &mut Vec<(&'static str, String)>,
) {
    for call in calls {
        let Some((at, CallEnd::Answered(answer))) = &call.ended else {
            continue;
        };
        let unknown = snapshot.messages.get(&call.message).is_some_and(|detail| {
            let mut attempts = detail.attempts.iter();
            attempts.any(|row| row.number == call.attempt && row.outcome == Outcome::Unknown)
        });
        if unknown && plan.longest_calm(*at, call.leased_until) >= KEPT_WITHIN {
            problems.push((
                RULE_KEPT,
                format!(
                    "{}: attempt {} ended at {at:?} as {answer:?} under a lease until {:?}, and is on record as unknown",
                    call.message, call.attempt, call.leased_until
                ),
            ));
        }
    }
}

fn of_message(
    plan: &Plan,
    snapshot: &Snapshot,
    detail: &MessageDetail,
    calls: &[&CallRecord],
    fencing: &Fencing,
) -> Option<(&'static str, String)> {
    let attempts = &detail.attempts;
    let id = &detail.message.id;
    let (redriven, unserved) = (fencing.redrives.contains_key(id), fencing.unserved.contains(id));
    if detail.message.direction == Direction::Inbound {
        let untouched = detail.message.status == Status::Received && attempts.is_empty() && calls.is_empty();
        return (!untouched).then(|| (RULE_FINAL, "an inbound message was dispatched".to_owned()));
    }
    let numbered = attempts
        .iter()
        .zip(1..)
        .all(|(attempt, number)| attempt.number == number);
    let successes = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Success)
        .count();
    if !numbered || successes > 1 {
        return Some((RULE_NUMBERS, "its attempts are miscounted".to_owned()));
    }
    for call in calls {
        let row = attempts.iter().find(|attempt| attempt.number == call.attempt);
        let Some(row) = row else {
            return Some((
                RULE_EXPLAINED,
                format!("attempt {} is not on record", call.attempt),
            ));
        };
        let seen = outcome_of(call);
        let evidence = row.late_outcome.is_none_or(|late| Some(late) == seen);
        if !(row.outcome == Outcome::Unknown || Some(row.outcome) == seen) || !evidence {
            let detail = format!(
                "attempt {} ended as {:?} and is on record as {row:?}",
                call.attempt, call.ended
            );
            return Some((RULE_EXPLAINED, detail));
        }
    }
    let uncalled = attempts
        .iter()
        .find(|row| row.outcome != Outcome::Unknown && calls.iter().all(|call| call.attempt != row.number));
    if let Some(row) = uncalled {
        return Some((
            RULE_EXPLAINED,
            format!("there was no call for attempt {}", row.number),
        ));
    }
    let tried_on = attempts
        .iter()
        .rev()
        .skip(1)
        .any(|row| rejected(row.error_code.as_ref()));
    if tried_on && !redriven {
        return Some((
            RULE_REASONS,
            "it was rejected for good and tried again".to_owned(),
        ));
    }
    let taken = calls.iter().filter(|call| call.taken).count();
    let ambiguous = attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Timeout | Outcome::Unknown))
        .count();
    if taken > successes + ambiguous {
        return Some((RULE_EXPLAINED, format!("taken {taken} times")));
    }
    let row = snapshot.outbox.get(&detail.message.id);
    // The node that made the call may have been unable to record it before its lease expired.
    let late_success = attempts
        .iter()
        .any(|attempt| attempt.late_outcome == Some(Outcome::Success));
    let proved = !detail.receipts.is_empty();
    let status = match detail.message.status {
        Status::Delivered | Status::Undelivered => Status::Dispatched,
        status => status,
    };
    match status {
        Status::Canceled if taken > 0 || ambiguous > 0 || row.is_some() => Some((
            RULE_EXPLAINED,
            "it is canceled, and a provider may have it".to_owned(),
        )),
        Status::Canceled => None,
        Status::Dispatched if taken == 0 || (successes == 0 && !late_success && !proved) => {
            Some((RULE_EXPLAINED, "no provider has it".to_owned()))
        }
        Status::Dispatched
            if plan.is_calm() && !redriven && (taken, calls.len(), attempts.len()) != (1, 1, 1) =>
        {
            Some((
                RULE_EXPLAINED,
                format!("nothing went wrong, and it was taken {taken} times"),
            ))
        }
        Status::Dispatched if row.is_some() => Some((RULE_FINAL, "it is still in the outbox".to_owned())),
        Status::Dispatched => None,
        Status::Failed => why_failed(plan, snapshot, detail, successes, unserved),
        status => Some((RULE_FINAL, format!("it is {status}"))),
    }
}

fn why_failed(
    plan: &Plan,
    snapshot: &Snapshot,
    detail: &MessageDetail,
    successes: usize,
    unserved: bool,
) -> Option<(&'static str, String)> {
    let row = snapshot.outbox.get(&detail.message.id);
    let (Some(failure), Some(row)) = (&detail.message.failure, row) else {
        return Some((
            RULE_REASONS,
            "it has no reason, or no outbox row to redrive".to_owned(),
        ));
    };
    let code = failure.error_code.as_ref().map(ErrorCode::as_str);
    let founded = match failure.reason {
        FailureReason::Exhausted => {
            // That each of these had a call is checked above.
            let failed = |outcome| matches!(outcome, Outcome::Error | Outcome::Timeout);
            let failures = detail.attempts.iter().filter(|attempt| failed(attempt.outcome));
            let attempts_max = plan.settings.engine.dispatch.attempts_max;
            row.progress.counted >= attempts_max && failures.count() >= attempts_max as usize
        }
        FailureReason::Deadline => row.deadline_at <= snapshot.now,
        FailureReason::Rejected => rejected(failure.error_code.as_ref()),
        FailureReason::Poison => code == Some("worker_panic") && row.progress.panics == 3,
        FailureReason::NoProvider => unserved,
    };
    if !founded || row.dead_at.is_none() || successes > 0 {
        return Some((RULE_REASONS, format!("it failed as {failure:?}: {row:?}")));
    }
    None
}

fn rejected(code: Option<&ErrorCode>) -> bool {
    code.is_some_and(|code| code.as_str() == "no_such_number")
}

/// What a node that saw the end of a call records; `None` if it did not see it.
fn outcome_of(call: &CallRecord) -> Option<Outcome> {
    match &call.ended.as_ref()?.1 {
        CallEnd::Answered(SendResult::Success { .. }) => Some(Outcome::Success),
        CallEnd::Answered(SendResult::RateLimited { .. }) => Some(Outcome::RateLimited),
        CallEnd::Answered(SendResult::Error { .. }) | CallEnd::Panicked => Some(Outcome::Error),
        CallEnd::Answered(SendResult::Rejected { .. }) => Some(Outcome::Rejected),
        CallEnd::Answered(SendResult::Timeout) | CallEnd::TimedOut => Some(Outcome::Timeout),
        CallEnd::Abandoned => None,
    }
}
