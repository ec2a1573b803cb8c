use std::time::Duration;

use async_trait::async_trait;
use domain::{MessageId, ProviderMessageId, ProviderName, Timestamp};

use store::{DueFollowUp, FollowUpKey, FollowUps, Settlement, StoreError, TakenFollowUps, instant_after};

use crate::{Memory, Tables, outbox::whole_millis};

pub(super) struct FollowUpRow {
    follow_up: DueFollowUp,
    /// A node performs it; from then on another one may.
    taken_until: Option<Timestamp>,
}

impl FollowUpRow {
    fn takeable_at(&self) -> Timestamp {
        self.taken_until.unwrap_or(self.follow_up.due_at)
    }
}

#[async_trait]
impl FollowUps for Memory {
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.take_follow_ups(limit, lease, now))
    }

    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError> {
        let (mut tables, _) = self.begin();
        for key in done {
            tables.follow_ups.remove(key);
        }
        Ok(())
    }
}

impl Tables {
    pub(super) fn follow(&mut self, settlement: &Settlement, provider: &ProviderName, now: Timestamp) {
        let tried = settlement.tried.as_ref();
        let provider_message_id: Option<&ProviderMessageId> =
            tried.and_then(|tried| tried.provider_message_id.as_ref());
        for (place, follow_up) in (0..).zip(&settlement.follow_ups) {
            let key = FollowUpKey {
                message_id: settlement.id,
                attempt: settlement.progress.attempts,
                place,
            };
            let follow_up = DueFollowUp {
                key,
                provider: provider.clone(),
                provider_message_id: provider_message_id.cloned(),
                due_at: instant_after(now, follow_up.after),
                action: follow_up.action.clone(),
            };
            let taken_until = None;
            self.follow_ups.insert(
                key,
                FollowUpRow {
                    follow_up,
                    taken_until,
                },
            );
        }
    }

    fn take_follow_ups(&mut self, limit: u32, lease: Duration, now: Timestamp) -> TakenFollowUps {
        let mut due: Vec<(Timestamp, FollowUpKey)> = Vec::new();
        let mut next: Option<Timestamp> = None;
        for (key, row) in &self.follow_ups {
            let at = row.takeable_at();
            if at <= now {
                due.push((at, *key));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        due.sort_unstable();
        due.truncate(limit as usize);
        let mut taken = Vec::new();
        for (_, key) in due {
            if let Some(row) = self.follow_ups.get_mut(&key) {
                row.taken_until = Some(instant_after(now, lease));
                taken.push(row.follow_up.clone());
            }
        }
        taken.sort_unstable_by_key(|follow_up| (follow_up.due_at, follow_up.key));
        TakenFollowUps {
            due: taken,
            next_in: next.map(|next| whole_millis(next.saturating_since(now))),
        }
    }

    pub(super) fn followed_messages(&self) -> impl Iterator<Item = MessageId> {
        self.follow_ups.keys().map(|key| key.message_id)
    }
}
