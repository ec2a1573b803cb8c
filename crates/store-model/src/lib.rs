//! The reference model of the store: the required behaviour in the simplest code.
//!
//! Tests compare PostgreSQL and SQLite with it, and the simulation runs on it. It is not durable.

mod accept;
mod archive;
mod events;
mod follow_ups;
mod inspect;
mod outbox;
mod reads;
mod receipts;
mod redrive;
mod sweep;
mod webhooks;

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

pub use inspect::OutboxRow;

use async_trait::async_trait;
use domain::{
    Attempt, Clock, Conversation, ConversationId, ConversationKey, Event, EventId, Fingerprint,
    IdempotencyKey, LeaseToken, Message, MessageId, NewMessage, Participant, ProviderMessageId, ProviderName,
    Timestamp, WebhookEndpointId,
};

use follow_ups::FollowUpRow;
use store::{Endpoint, EventLog, FollowUpKey, Progress, Store, StoreError, StoredReceipt, WebhookDelivery};

pub struct Memory {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Tables {
    conversations: BTreeMap<ConversationId, Conversation>,
    conversation_ids: BTreeMap<ConversationKey, ConversationId>,
    messages: BTreeMap<MessageId, Row>,
    outbox: BTreeMap<MessageId, Entry>,
    attempts: BTreeMap<MessageId, Vec<(LeaseToken, Attempt)>>,
    keys: BTreeMap<IdempotencyKey, Key>,
    inbound_ids: BTreeMap<InboundId, MessageId>,
    follow_ups: BTreeMap<FollowUpKey, FollowUpRow>,
    providers: BTreeMap<ProviderName, Watched>,
    /// By their positions, from 1.
    receipts: BTreeMap<u64, ReceiptRow>,
    /// Purged ones included.
    receipts_stored: u64,
    log: Log,
    endpoints: BTreeMap<WebhookEndpointId, EndpointRow>,
}

/// A message without its status, which is computed when it is read.
struct Row {
    /// Its status is that of a message without an outbox entry and receipts.
    message: Message,
    from: Participant,
    to: Participant,
    canceled: bool,
    /// Only with [`Mutant::StatusRegress`](mutants::Mutant::StatusRegress).
    regressed: bool,
}

impl Row {
    fn new(message: Message, from: Participant, to: Participant) -> Self {
        Self {
            message,
            from,
            to,
            canceled: false,
            regressed: false,
        }
    }
}

struct ReceiptRow {
    stored: StoredReceipt,
    stored_at: Timestamp,
}

/// The event log. Positions are given while an event is written: here, one transaction at a time commits.
#[derive(Default)]
struct Log {
    events: BTreeMap<EventId, Event>,
    ends: EventLog,
}

struct EndpointRow {
    endpoint: Endpoint,
    /// The token of the latest lease.
    token: LeaseToken,
    leased_until: Option<Timestamp>,
    deliveries: BTreeMap<EventId, WebhookDelivery>,
}

/// The key by which a repeat of an inbound message is recognized.
type InboundId = (ProviderName, ProviderMessageId, Participant, Participant);

fn inbound_id(provider: &ProviderName, id: &ProviderMessageId, message: &NewMessage) -> InboundId {
    (
        provider.clone(),
        id.clone(),
        message.from.clone(),
        message.to.clone(),
    )
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

/// When nodes last announced or looked at a provider.
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
    /// An empty store. `clock` is the database's clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tables: Mutex::default(),
            clock,
        }
    }

    /// The tables and the time of one transaction.
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
}
