//! Rule 14, and the other rules for each transaction about the outbox: tokens only grow, a held entry is not taken, a status
//! goes back only by a redrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{FailureReason, LeaseToken, MessageId, Status, Timestamp};
use engine::UNSERVED_AFTER;
use futures_util::FutureExt;
use store::{
    Accept, Accepted, Claimed, DeadLetter, Disposition, FIRST_LEASE, Kind, Reads, Settled, Settlement,
};
use store_model::{Memory, OutboxRow};

use super::attempts;

pub(super) const RULE_TOKEN: &str = "14: no stale lease token ever changes a message";
pub(super) const RULE_CLAIM: &str = "a claim takes only what is due and free";
pub(super) const RULE_LEFT: &str = "a lease without a holder is given back before it runs out";
const RULE_STATUS: &str = "a status never goes back";

#[derive(Default)]
pub(super) struct Fencing {
    /// Every outbox row after the last transaction.
    rows: BTreeMap<MessageId, OutboxRow>,
    /// The leases that the store granted to each run of a node.
    held: BTreeMap<u32, BTreeSet<(MessageId, LeaseToken)>>,
    /// The leases given with an accept.
    leased_at_accept: BTreeSet<MessageId>,
    /// What was settled under each lease. A repeat is reported as applied and changes nothing.
    settled: BTreeSet<(MessageId, LeaseToken)>,
    pub(super) redrives: BTreeMap<MessageId, Vec<Duration>>,
    pub(super) dead_letters: BTreeMap<FailureReason, u64>,
    /// Entries dead-lettered since no node serves their provider.
    pub(super) unserved: BTreeSet<MessageId>,
}

/// The state a transaction finds.
#[derive(PartialEq, Eq)]
pub(crate) struct Before {
    row: Option<OutboxRow>,
    status: Option<Status>,
    receipts: bool,
}

impl Before {
    pub(crate) fn of(memory: &Memory, id: MessageId) -> Self {
        let detail = memory.message(id).now_or_never().and_then(Result::ok).flatten();
        Self {
            row: memory.outbox_row(id),
            status: memory.status(id),
            receipts: detail.is_some_and(|detail| !detail.receipts.is_empty()),
        }
    }

    /// Whether receipts say that a provider has it.
    fn is_proved(&self) -> bool {
        self.receipts && self.row.is_none()
    }

    fn is_held(&self, token: LeaseToken) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.token == token && row.leased_until.is_some() && row.dead_at.is_none())
    }
}

impl Fencing {
    pub(super) fn accepted(&mut self, batch: &[Accept], accepted: &[Accepted], memory: &Memory) {
        for (accept, accepted) in batch.iter().zip(accepted) {
            if matches!(
                (accepted, &accept.kind),
                (Accepted::New { .. }, Kind::Send { .. })
            ) {
                self.keep(accept.id, memory);
            }
            if matches!(accept.kind, Kind::Send { lease: Some(_), .. }) {
                self.leased_at_accept.insert(accept.id);
            }
        }
    }

    /// Whether an entry is still under the lease of its accept.
    pub(super) fn is_of_accept(&self, id: MessageId) -> bool {
        let row = self.rows.get(&id);
        self.leased_at_accept.contains(&id) && row.is_some_and(|row| row.token == FIRST_LEASE)
    }

    pub(super) fn claimed(&mut self, claimed: &Claimed, memory: &Memory, now: Timestamp) -> Option<String> {
        let id = claimed.leased.id;
        let before = self.rows.get(&id).cloned();
        self.keep(id, memory);
        let Some(before) = before else {
            return Some(format!("{id} was claimed and is in no outbox"));
        };
        let free = match before.leased_until {
            Some(until) => until <= now,
            None => before.due_at <= now,
        };
        let lease_expired = before.leased_until.is_some();
        let attempts = before.progress.attempts + u32::from(lease_expired);
        let counted = before.progress.counted;
        let problem = if before.dead_at.is_some() {
            "it is a dead letter"
        } else if !free {
            "it is not due, or held"
        } else if claimed.leased.token <= before.token {
            "its token did not grow"
        } else if claimed.lease_expired != lease_expired || claimed.leased.progress.attempts != attempts {
            "the attempt of its last holder is not on record"
        } else if claimed.leased.progress.counted != counted {
            "the attempt of its last holder, who may not have called, was counted"
        } else if memory.status(id) != Some(Status::Pending) {
            "it is final"
        } else {
            return None;
        };
        Some(format!("{id} was claimed, but {problem}: {before:?}"))
    }

    pub(super) fn got(&mut self, life: u32, id: MessageId, token: LeaseToken) {
        self.held.entry(life).or_default().insert((id, token));
    }

    pub(super) fn settled(
        &mut self,
        settlement: &Settlement,
        settled: Settled,
        before: &Before,
        memory: &Memory,
        attempts_max: u32,
    ) -> Option<(&'static str, String)> {
        let Settlement {
            id,
            token,
            disposition,
            progress,
            ..
        } = settlement;
        let after = Before::of(memory, *id);
        self.keep(*id, memory);
        if !before.is_held(*token) {
            let invented = settled == Settled::Applied && !self.settled.contains(&(*id, *token));
            // The id in late evidence may be the one that a receipt waits for.
            let proved =
                after.is_proved() && before.row.as_ref().is_some_and(|row| row.leased_until.is_none());
            let changed = invented || after != *before && !proved;
            return changed.then(|| {
                (
                    RULE_TOKEN,
                    format!("{id}: settled under token {} and lost it before", token.0),
                )
            });
        }
        if settled == Settled::RerouteRefused {
            let changed = after != *before;
            return changed.then(|| (RULE_STATUS, format!("{id}: a refused reroute changed it")));
        }
        self.settled.insert((*id, *token));
        if let Disposition::DeadLetter(reason) = disposition {
            *self.dead_letters.entry(*reason).or_default() += 1;
        }
        let expected = match disposition {
            Disposition::Finish => Status::Dispatched,
            Disposition::Retry { .. } | Disposition::Reroute { .. } => Status::Pending,
            Disposition::DeadLetter(_) => Status::Failed,
        };
        // A receipt that came during the call may prove more.
        let proved = after.is_proved();
        if before.status != Some(Status::Pending) || after.status != Some(expected) && !proved {
            return Some((
                RULE_STATUS,
                format!("{id}: {:?} became {:?}", before.status, after.status),
            ));
        }
        if matches!(disposition, Disposition::Retry { .. }) && progress.counted >= attempts_max {
            return Some((
                attempts::RULE_REASONS,
                format!(
                    "{id}: to be tried again after {} counted tries of {attempts_max}",
                    progress.counted
                ),
            ));
        }
        None
    }

    pub(super) fn released(
        &mut self,
        id: MessageId,
        token: LeaseToken,
        before: &Before,
        memory: &Memory,
    ) -> Option<String> {
        let after = Before::of(memory, id);
        self.keep(id, memory);
        let unchanged = before.is_held(token) || after == *before;
        (!unchanged).then(|| format!("{id}: released under token {} and lost it before", token.0))
    }

    /// A node dead-letters what no node has served for long, and what is past its deadline. `served` tells whether a node served the
    /// provider lately.
    pub(super) fn dead_lettered(
        &mut self,
        dead_lettered: &DeadLetter,
        served: bool,
        memory: &Memory,
        now: Timestamp,
    ) -> Option<String> {
        *self.dead_letters.entry(dead_lettered.reason).or_default() += 1;
        if dead_lettered.reason == FailureReason::NoProvider {
            self.unserved.insert(dead_lettered.id);
        }
        let before = self.rows.get(&dead_lettered.id).cloned();
        self.keep(dead_lettered.id, memory);
        let free = before.as_ref().is_some_and(|row| {
            row.dead_at.is_none()
                && row.leased_until.is_none_or(|until| until <= now)
                && row.provider == dead_lettered.provider
                && (row.deadline_at <= now
                    || !served
                        && now.saturating_since(row.leased_until.unwrap_or(row.due_at)) >= UNSERVED_AFTER)
        });
        let founded = match dead_lettered.reason {
            FailureReason::Deadline => true,
            FailureReason::NoProvider => !served,
            _ => false,
        };
        (!free || !founded).then(|| {
            format!(
                "{dead_lettered:?} was dead-lettered, served by another node: {served}, at {now}: {before:?}"
            )
        })
    }

    pub(super) fn redriven(&mut self, memory: &Memory, now: Duration) -> Option<String> {
        let dead: Vec<MessageId> = self
            .rows
            .iter()
            .filter(|(_, row)| row.dead_at.is_some())
            .map(|(id, _)| *id)
            .collect();
        let mut problem = None;
        for id in dead {
            let before = self.rows.get(&id).map(|row| row.progress.attempts);
            self.keep(id, memory);
            let Some(after) = self.rows.get(&id).filter(|row| row.dead_at.is_none()) else {
                continue;
            };
            self.redrives.entry(id).or_default().push(now);
            if before != Some(after.progress.attempts) {
                problem = Some(format!("{id}: a redrive changed the number of its attempts"));
            }
        }
        problem
    }

    pub(super) fn drained(&self, life: u32, memory: &Memory) -> Option<String> {
        let held = self.held.get(&life)?;
        let left = held
            .iter()
            .find(|(id, token)| Before::of(memory, *id).is_held(*token));
        left.map(|(id, token)| format!("life {life} ended and still holds {id} under token {}", token.0))
    }

    /// After a transaction that may have changed any entry.
    pub(super) fn keep_all(&mut self, memory: &Memory) {
        self.rows = memory.outbox().into_iter().collect();
    }

    fn keep(&mut self, id: MessageId, memory: &Memory) {
        match memory.outbox_row(id) {
            Some(row) => {
                self.rows.insert(id, row);
            }
            None => {
                self.rows.remove(&id);
            }
        }
    }
}

/// A message that is in a batch twice.
pub(super) fn twice(batch: &[Settlement]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let twice = batch.iter().find(|settlement| !seen.insert(settlement.id));
    twice.map(|settlement| format!("{} is in one batch twice", settlement.id))
}

pub(super) fn word(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Finish => "finish",
        Disposition::Retry { .. } => "retry",
        Disposition::Reroute { .. } => "reroute",
        Disposition::DeadLetter(reason) => reason.as_str(),
    }
}
