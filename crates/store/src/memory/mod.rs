//! The reference model: what the other stores must do, in the plainest words.
//!
//! Tests compare PostgreSQL and SQLite with it, and the simulation runs on it. It is not durable and not for production:
//! nothing outside tests opens it.

mod accept;
mod import;
mod inspect;
mod outbox;
mod reads;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

pub use inspect::OutboxRow;

use async_trait::async_trait;
use domain::{
    Attempt, Clock, Conversation, ConversationId, ConversationKey, ConversationPosition, Fingerprint,
    IdempotencyKey, LeaseToken, Message, MessageId, Page, PageRequest, ProviderMessageId, ProviderName,
    ThreadPosition, Timestamp,
};

use crate::{
    Accept, Accepted, Assigned, ClaimLimits, Claims, ConversationFilter, DeadLetter, IdempotentRequest,
    Import, MessageDetail, MessageFilter, Progress, QueueDepth, RedriveFilter, RedriveTerms, Redriven,
    RedrivenBatch, Settled, Settlement, Store, StoreError, UnservedRule, WithoutConversation,
};

/// A store in memory.
pub struct Memory {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Tables {
    conversations: BTreeMap<ConversationId, Conversation>,
    conversation_ids: BTreeMap<ConversationKey, ConversationId>,
    messages: BTreeMap<MessageId, Message>,
    outbox: BTreeMap<MessageId, Entry>,
    attempts: BTreeMap<MessageId, Vec<(LeaseToken, Attempt)>>,
    keys: BTreeMap<IdempotencyKey, Key>,
    inbound_ids: BTreeMap<(ProviderName, ProviderMessageId), MessageId>,
    providers: BTreeMap<ProviderName, Watched>,
}

struct Entry {
    provider: ProviderName,
    due_at: Timestamp,
    leased_until: Option<Timestamp>,
    token: LeaseToken,
    deadline_at: Timestamp,
    dead_at: Option<Timestamp>,
    progress: Progress,
}

/// A provider as the nodes see it together.
struct Watched {
    unserved_since: Timestamp,
    observed_at: Timestamp,
}

struct Key {
    fingerprint: Fingerprint,
    message_id: MessageId,
    created_at: Timestamp,
}

impl Memory {
    /// An empty store; `clock` plays the part of the database's clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tables: Mutex::default(),
            clock,
        }
    }

    /// The tables and the time, as one transaction sees them.
    fn begin(&self) -> (MutexGuard<'_, Tables>, Timestamp) {
        (self.tables.lock(), self.clock.now())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
impl Store for Memory {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(batch.iter().map(|accept| tables.accept(accept, now)).collect())
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        let (tables, _) = self.begin();
        Ok(batch.iter().map(|accept| tables.find_accepted(accept)).collect())
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        Ok(self.begin().0.find_repeated(request))
    }

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
        Ok(batch
            .iter()
            .map(|settlement| tables.settle(settlement, now))
            .collect())
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let (mut tables, _) = self.begin();
        let released = leases.iter().filter(|(id, token)| tables.release(*id, *token));
        Ok(released.map(|(id, _)| *id).collect())
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

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.purge_idempotency_keys(kept, limit, now))
    }

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

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let (tables, now) = self.begin();
        Ok(tables.queue_depths(now))
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        let (tables, now) = self.begin();
        Ok(tables.message(id, now))
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        Ok(self.begin().0.list_messages(filter, page))
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        Ok(self.begin().0.conversations.get(&id).cloned())
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<Conversation, ConversationPosition>, StoreError> {
        Ok(self.begin().0.list_conversations(filter, page))
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        Ok(self.begin().0.thread(id, page))
    }
}
