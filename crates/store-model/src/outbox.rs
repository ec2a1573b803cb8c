use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Attempt, ErrorCode, EventType, Failure, FailureReason, LeaseToken, MessageId, Outcome, ProviderName,
    Timestamp,
};

use mutants::Mutant;

use store::{
    Canceled, ClaimLimits, Claimed, Claims, DeadLetter, Disposition, Leased, Outbox, Progress, QueueDepth,
    RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, StoreError, UnservedRule,
    instant_after,
};

use crate::{Entry, Memory, Tables};

#[async_trait]
impl Outbox for Memory {
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.claim(provider, limits, lease, now))
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let (mut tables, now) = self.begin();
        let settled = batch
            .iter()
            .map(|settlement| tables.settle(settlement, now))
            .collect();
        tables.apply_parked(batch.iter().map(|settlement| settlement.id), now);
        Ok(settled)
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let (mut tables, now) = self.begin();
        let released = leases.iter().filter(|(id, token)| tables.release(*id, *token));
        let released: Vec<MessageId> = released.map(|(id, _)| *id).collect();
        tables.apply_parked(released.iter().copied(), now);
        Ok(released)
    }

    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError> {
        let (mut tables, now) = self.begin();
        tables.announce(serving, gap_max, now);
        Ok(())
    }

    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.sweep(serving, unserved, limit, now))
    }

    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.redrive(id, terms, now))
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError> {
        let (mut tables, now) = self.begin();
        let redriven = tables.redrive_matching(filter, terms, limit, now);
        Ok(RedrivenBatch { redriven, at: now })
    }

    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.cancel(id, now))
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let (tables, now) = self.begin();
        Ok(tables.queue_depths(now))
    }
}

impl Entry {
    /// When it can be claimed: when it is due, or when its lease expires.
    pub(super) fn claimable_at(&self) -> Timestamp {
        if mutants::planted(Mutant::ClaimBeforeDue) {
            return self.leased_until.unwrap_or(Timestamp::MIN);
        }
        self.leased_until.unwrap_or(self.due_at)
    }

    /// Records the attempt of the worker whose lease expired, because it may have sent the message. The attempt is not
    /// counted, because there may have been no call.
    pub(super) fn record_expired(&mut self, attempts: &mut Vec<(LeaseToken, Attempt)>, now: Timestamp) {
        if mutants::planted(Mutant::ExpiredAttemptForgotten) {
            return;
        }
        self.progress.attempts += 1;
        self.progress.lost += 1;
        self.progress.counted += u32::from(mutants::planted(Mutant::ExpiredAttemptCounted));
        self.progress.rate_limited_in_a_row = 0;
        self.progress.unsure = true;
        let attempt = Attempt {
            number: self.progress.attempts,
            provider: self.provider.clone(),
            outcome: if mutants::planted(Mutant::UnknownTreatedAsFailed) {
                Outcome::Error
            } else {
                Outcome::Unknown
            },
            error_code: Some(ErrorCode::of("lease_expired")),
            occurred_at: now,
            latency: Duration::ZERO,
            late_outcome: None,
            provider_message_id: None,
        };
        attempts.push((self.token, attempt));
    }

    fn is_held(&self, token: LeaseToken) -> bool {
        let fenced = self.token == token || mutants::planted(Mutant::NoFence);
        fenced && self.leased_until.is_some() && self.dead_at.is_none()
    }
}

impl Tables {
    pub(super) fn claim(
        &mut self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
        now: Timestamp,
    ) -> Claims {
        let mut claimable: Vec<(Timestamp, MessageId)> = self
            .outbox
            .iter()
            .filter(|(_, entry)| {
                entry.provider == *provider && entry.dead_at.is_none() && entry.claimable_at() <= now
            })
            .map(|(id, entry)| (entry.claimable_at(), *id))
            .collect();
        claimable.sort_unstable();
        claimable.truncate(limits.entries as usize);
        let due = claimable.len();
        let mut bytes = 0;
        let fits = |(place, (_, id)): (usize, &(Timestamp, MessageId))| {
            let row = self.messages.get(id);
            bytes += row.map_or(0, |row| row.message.content.bytes());
            place == 0 || bytes <= limits.bytes
        };
        let fitting = claimable
            .iter()
            .enumerate()
            .map(fits)
            .take_while(|fits| *fits)
            .count();
        claimable.truncate(fitting);
        let mut entries: Vec<Claimed> = claimable
            .into_iter()
            .filter_map(|(_, id)| self.lease(id, lease, now))
            .collect();
        entries.sort_unstable_by_key(|claimed| claimed.leased.id);
        Claims {
            entries,
            cut_short: fitting < due,
        }
    }

    fn lease(&mut self, id: MessageId, lease: Duration, now: Timestamp) -> Option<Claimed> {
        let entry = self.outbox.get_mut(&id)?;
        let message = &self.messages.get(&id)?.message;
        let (conversation_id, _) = message.thread?;
        let lease_expired = entry.leased_until.is_some();
        if lease_expired {
            entry.record_expired(self.attempts.entry(id).or_default(), now);
        }
        entry.token = LeaseToken(entry.token.0 + 1);
        entry.leased_until = Some(instant_after(now, lease));
        let leased = Leased {
            id,
            conversation_id,
            content: Arc::new(message.content.clone()),
            token: entry.token,
            progress: entry.progress,
        };
        Some(Claimed {
            leased,
            deadline_in: whole_millis(entry.deadline_at.saturating_since(now)),
            lease_expired,
        })
    }

    pub(super) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let Settlement {
            id,
            token,
            tried,
            disposition,
            progress,
            follow_ups: _,
        } = settlement;
        let attempts = self.attempts.entry(*id).or_default();
        let Some(entry) = self.outbox.get_mut(id).filter(|entry| entry.is_held(*token)) else {
            let own = attempts.iter_mut().find(|(lease, attempt)| {
                *lease == *token && attempt.number == progress.attempts && attempt.outcome == Outcome::Unknown
            });
            if let (Some((_, attempt)), Some(tried)) = (own, tried)
                && attempt.late_outcome.is_none()
            {
                attempt.late_outcome = Some(tried.outcome);
                attempt.provider_message_id.clone_from(&tried.provider_message_id);
            }
            if mutants::planted(Mutant::StatusRegress)
                && let Some(row) = self.messages.get_mut(id)
            {
                row.regressed = true;
            }
            return self.settled_before(settlement);
        };
        let outcome = tried.as_ref().map(|tried| tried.outcome);
        let unsure = entry.progress.unsure || outcome.is_some_and(Outcome::is_unsure);
        if matches!(disposition, Disposition::Reroute { .. }) && (unsure || outcome == Some(Outcome::Success))
        {
            return Settled::RerouteRefused;
        }
        if let Some(tried) = tried {
            let attempt = Attempt {
                number: progress.attempts,
                provider: entry.provider.clone(),
                outcome: tried.outcome,
                error_code: tried.error_code.clone(),
                occurred_at: tried.occurred_at,
                latency: whole_millis(tried.latency),
                late_outcome: None,
                provider_message_id: tried.provider_message_id.clone(),
            };
            attempts.push((*token, attempt));
        }
        entry.leased_until = None;
        entry.progress = Progress {
            lost: entry.progress.lost,
            unsure,
            ..*progress
        };
        let taken_by = entry.provider.clone();
        match disposition {
            Disposition::Finish => {
                self.outbox.remove(id);
                if !mutants::planted(Mutant::DispatchedWithoutEvent) {
                    self.message_event(EventType::MessageDispatched, *id, now);
                }
            }
            Disposition::Retry { after } => entry.due_at = instant_after(now, *after),
            Disposition::Reroute { provider } => {
                entry.due_at = now;
                self.route(*id, provider);
            }
            Disposition::DeadLetter(reason) => {
                entry.dead_at = Some(now);
                self.fail(*id, *reason, now);
            }
        }
        self.follow(settlement, &taken_by, now);
        Settled::Applied
    }

    /// Whether a settlement was applied by an earlier call whose answer was lost.
    fn settled_before(&self, settlement: &Settlement) -> Settled {
        let Settlement {
            id,
            token,
            tried,
            disposition,
            progress,
            follow_ups: _,
        } = settlement;
        let own = self
            .attempts
            .get(id)
            .into_iter()
            .flatten()
            .filter(|(lease, _)| lease == token);
        let applied = match tried {
            Some(_) => own.into_iter().any(|(_, attempt)| {
                attempt.number == progress.attempts && attempt.outcome != Outcome::Unknown
            }),
            None => {
                let entry = self.outbox.get(id);
                let rerouted = |entry: &Entry| match disposition {
                    Disposition::Reroute { provider } => {
                        entry.leased_until.is_none() && entry.provider == *provider
                    }
                    _ => false,
                };
                entry.is_some_and(|entry| {
                    entry.token == *token && (entry.dead_at.is_some() || rerouted(entry))
                }) && !own
                    .into_iter()
                    .any(|(_, attempt)| attempt.outcome == Outcome::Unknown)
            }
        };
        if applied && !mutants::planted(Mutant::RepeatedSettlementDenied) {
            Settled::Applied
        } else {
            Settled::LeaseLost
        }
    }

    pub(super) fn release(&mut self, id: MessageId, token: LeaseToken) -> bool {
        let held = self.outbox.get_mut(&id).filter(|entry| entry.is_held(token));
        held.is_some_and(|entry| entry.leased_until.take().is_some())
    }

    pub(super) fn cancel(&mut self, id: MessageId, now: Timestamp) -> Canceled {
        let Some(row) = self.messages.get_mut(&id) else {
            return Canceled::NotFound;
        };
        if row.canceled {
            return Canceled::Canceled { now: false };
        }
        let waits = self
            .outbox
            .get(&id)
            .filter(|entry| entry.leased_until.is_none() || mutants::planted(Mutant::CancelIgnoresLease))
            .is_some_and(|entry| entry.dead_at.is_none());
        let mut attempts = self.attempts.get(&id).into_iter().flatten();
        let unsure = attempts.any(|(_, attempt)| attempt.outcome.is_unsure())
            && !mutants::planted(Mutant::CancelAfterTimeout);
        if !waits || unsure {
            return Canceled::NotCancelable;
        }
        row.canceled = true;
        self.outbox.remove(&id);
        self.message_event(EventType::MessageCanceled, id, now);
        Canceled::Canceled { now: true }
    }

    pub(super) fn queue_depths(&self, now: Timestamp) -> Vec<QueueDepth> {
        let mut depths: BTreeMap<&ProviderName, QueueDepth> = BTreeMap::new();
        for entry in self.outbox.values() {
            let depth = depths.entry(&entry.provider).or_insert_with(|| QueueDepth {
                provider: entry.provider.clone(),
                waiting: 0,
                leased: 0,
                dead: 0,
                capped: false,
                oldest: Duration::ZERO,
            });
            match (entry.dead_at, entry.leased_until) {
                (Some(_), _) => depth.dead += 1,
                (None, Some(_)) => depth.leased += 1,
                (None, None) => depth.waiting += 1,
            }
            if entry.dead_at.is_none() {
                let due_for = whole_millis(now.saturating_since(entry.due_at));
                depth.oldest = depth.oldest.max(due_for);
            }
        }
        depths.into_values().map(QueueDepth::capped).collect()
    }

    /// Moves a message and its entry to a provider.
    pub(super) fn route(&mut self, id: MessageId, provider: &ProviderName) {
        if let Some(entry) = self.outbox.get_mut(&id) {
            entry.provider = provider.clone();
        }
        if let Some(row) = self.messages.get_mut(&id) {
            row.message.provider = Some(provider.clone());
        }
    }

    /// Fails a message, with the error code of its last attempt.
    pub(super) fn fail(&mut self, id: MessageId, reason: FailureReason, now: Timestamp) {
        let last = self.attempts.get(&id).and_then(|attempts| attempts.last());
        let error_code = last.and_then(|(_, attempt)| attempt.error_code.clone());
        if let Some(row) = self.messages.get_mut(&id) {
            row.message.failure = Some(Failure { reason, error_code });
        }
        self.message_event(EventType::MessageFailed, id, now);
    }
}

/// The databases return whole milliseconds.
pub(super) fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
