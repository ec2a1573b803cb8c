use std::time::Duration;

use async_trait::async_trait;
use domain::{ConversationKey, Direction, IdempotencyKey, Message, MessageId, NewMessage, Status, Timestamp};

use store::{Archive, Assigned, Import, StoreError, WithoutConversation};

use crate::{Key, Memory, Row, Tables, inbound_id};

#[async_trait]
impl Archive for Memory {
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        let (mut tables, _) = self.begin();
        Ok(batch.iter().map(|import| u64::from(tables.import(import))).sum())
    }

    async fn count_without_conversation(&self) -> Result<u64, StoreError> {
        Ok(self.begin().0.without_conversation().count() as u64)
    }

    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError> {
        let (tables, _) = self.begin();
        let later = tables
            .without_conversation()
            .filter(|message| Some(message.id) > after);
        Ok(later.take(limit as usize).collect())
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        Ok(self.begin().0.assign(batch))
    }

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.purge_idempotency_keys(kept, limit, now))
    }
}

impl Tables {
    pub(super) fn import(&mut self, import: &Import) -> bool {
        let inbound_id = inbound_id(&import.provider, &import.provider_message_id, &import.message);
        if self.inbound_ids.contains_key(&inbound_id) {
            return false;
        }
        self.inbound_ids.insert(inbound_id, import.id);
        let message = Message {
            id: import.id,
            thread: None,
            direction: import.direction,
            content: (*import.message.content).clone(),
            timestamp: import.timestamp(),
            processed_at: import.processed_at,
            status: match import.direction {
                Direction::Inbound => Status::Received,
                Direction::Outbound => Status::Dispatched,
            },
            provider: Some(import.provider.clone()),
            failure: None,
            schedule: domain::Schedule::default(),
            delivery: None,
        };
        let NewMessage { from, to, .. } = &import.message;
        self.messages
            .insert(import.id, Row::new(message, from.clone(), to.clone()));
        true
    }

    pub(super) fn without_conversation(&self) -> impl Iterator<Item = WithoutConversation> {
        let messages = self.messages.values().map(|row| &row.message);
        let without_conversation = messages.filter(|message| message.thread.is_none());
        without_conversation.map(|message| WithoutConversation {
            id: message.id,
            channel: message.content.channel,
            from: message.content.from.clone(),
            to: message.content.to.clone(),
        })
    }

    pub(super) fn assign(&mut self, batch: &[(MessageId, ConversationKey)]) -> Assigned {
        let mut assigned = Assigned::default();
        for (id, key) in batch {
            let messages = self.messages.get(id).map(|row| &row.message);
            let Some((timestamp, processed_at)) = messages
                .filter(|message| message.thread.is_none())
                .map(|message| (message.timestamp, message.processed_at))
            else {
                continue;
            };
            let thread = self.join(key, timestamp, processed_at);
            if let Some(row) = self.messages.get_mut(id) {
                row.message.thread = Some(thread);
            }
            assigned.messages += 1;
            assigned.conversations += u64::from(thread.1 == 1);
        }
        assigned
    }

    pub(super) fn purge_idempotency_keys(&mut self, kept: Duration, limit: u32, now: Timestamp) -> u64 {
        let expired = |key: &Key| key.created_at.saturating_add(kept) <= now;
        let mut expired: Vec<(Timestamp, IdempotencyKey)> = self
            .keys
            .iter()
            .filter(|(_, row)| expired(row))
            .map(|(key, row)| (row.created_at, key.clone()))
            .collect();
        expired.sort_unstable();
        expired.truncate(limit as usize);
        expired.iter().for_each(|(_, key)| {
            self.keys.remove(key);
        });
        expired.len() as u64
    }
}
