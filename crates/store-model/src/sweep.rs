use std::{collections::BTreeSet, time::Duration};

use domain::{FailureReason, ProviderName, Timestamp};

use mutants::Mutant;

use store::{DeadLetter, UnservedRule, instant_after};

use crate::{Tables, Watched};

impl Tables {
    pub(super) fn announce(&mut self, serving: &[ProviderName], gap_max: Duration, now: Timestamp) {
        let alive = self.outbox.values().filter(|entry| entry.dead_at.is_none());
        let seen: BTreeSet<&ProviderName> = alive.map(|entry| &entry.provider).chain(serving).collect();
        for provider in seen {
            let known = self.providers.entry(provider.clone()).or_insert(Watched {
                unserved_since: now,
                observed_at: now,
            });
            if serving.contains(provider) || now.saturating_since(known.observed_at) > gap_max {
                known.unserved_since = now;
            }
            known.observed_at = now;
        }
    }

    pub(super) fn sweep(
        &mut self,
        serving: &[ProviderName],
        UnservedRule { after, gap_max }: UnservedRule,
        limit: u32,
        now: Timestamp,
    ) -> Vec<DeadLetter> {
        let unserved = |provider: &ProviderName| {
            let known = self
                .providers
                .get(provider)
                .filter(|_| !serving.contains(provider));
            known.is_some_and(|known| {
                now.saturating_since(known.unserved_since) >= after
                    && now.saturating_since(known.observed_at) <= gap_max
            })
        };
        let expired: Vec<DeadLetter> = self
            .outbox
            .iter()
            .filter(|(_, entry)| {
                entry.dead_at.is_none() && entry.leased_until.is_none_or(|until| until <= now)
            })
            .filter_map(|(id, entry)| {
                let unserved =
                    unserved(&entry.provider) && !mutants::planted(Mutant::UnservedNotDeadLettered);
                let stranded = unserved && instant_after(entry.claimable_at(), after) <= now;
                if !stranded && entry.deadline_at > now {
                    return None;
                }
                let reason = if unserved {
                    FailureReason::NoProvider
                } else {
                    FailureReason::Deadline
                };
                Some(DeadLetter {
                    id: *id,
                    provider: entry.provider.clone(),
                    channel: self.messages.get(id)?.message.content.channel,
                    reason,
                    lease_expired: entry.leased_until.is_some(),
                })
            })
            .take(limit as usize)
            .collect();
        for DeadLetter { id, reason, .. } in &expired {
            if let Some(entry) = self.outbox.get_mut(id) {
                if entry.leased_until.take().is_some() {
                    entry.record_expired(self.attempts.entry(*id).or_default(), now);
                }
                entry.dead_at = Some(now);
            }
            self.fail(*id, *reason, now);
        }
        expired
    }
}
