use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ConversationId, Fingerprint, IdempotencyKey, LeaseToken, MessageId, NewMessage, ProviderMessageId,
    ProviderName, Timestamp,
};

use crate::StoreError;

/// Accepts new messages and recognizes repeated requests.
#[async_trait]
pub trait Accepting: Send + Sync {
    /// Stores messages with their keys, conversations and outbox entries: all of the batch or none. The results are in the
    /// order of the batch. Only [`GroupCommit`](crate::GroupCommit) calls this.
    ///
    /// # Errors
    /// [`StoreError::Refused`] concerns one message of the batch for good: bisect. After [`StoreError::OutcomeUnknown`], call
    /// [`Accepting::find_accepted`].
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError>;

    /// Looks up messages whose commit got no answer: `None` where nothing is found (yet). What is found is as durable as
    /// what [`Accepting::accept`] returns.
    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError>;

    /// The result of an earlier request with this key: [`Accepted::Repeated`] or [`Accepted::KeyConflict`]. What is found is
    /// as durable as what [`Accepting::accept`] returns.
    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError>;
}

/// A message to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Minted before the message is stored, so that it can be looked up when a commit gets no answer.
    pub id: MessageId,
    pub message: NewMessage,
    /// When it was accepted, by the node's clock.
    pub processed_at: Timestamp,
    pub provider: ProviderName,
    pub kind: Kind,
}

impl Accept {
    /// When it was written or is to be sent, or else accepted.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp.unwrap_or(self.processed_at)
    }

    /// What it counts for its conversation's last activity: its timestamp, or when it was accepted if that is earlier.
    #[must_use]
    pub fn active_at(&self) -> Timestamp {
        self.timestamp().min(self.processed_at)
    }
}

/// The direction of an accepted message, and how its repeats are recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Outbound: gets an outbox entry, which is due at the message's `send_at` or else at once.
    Send {
        request: Option<IdempotentRequest>,
        /// How long it may be tried from then on, unless the message has a deadline of its own.
        deadline: Duration,
        /// Lease the new entry to the accepting node for this long, with the token [`FIRST_LEASE`]. Not for one that is due
        /// later.
        lease: Option<Duration>,
    },
    /// Inbound.
    Receive {
        provider_message_id: ProviderMessageId,
        /// The request as it came.
        payload: Box<str>,
    },
}

/// A request that can be recognized when it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    pub key: IdempotencyKey,
    pub fingerprint: Fingerprint,
}

/// The token of an entry that was leased while it was accepted.
pub const FIRST_LEASE: LeaseToken = LeaseToken(1);

/// The result of an accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The message is stored.
    New {
        conversation_id: ConversationId,
        /// Its place in the conversation; 1 means that the conversation is new.
        sequence: u64,
    },
    /// An earlier request had this key or provider message id; nothing changed.
    Repeated {
        /// The message of the earlier request.
        id: MessageId,
        /// `None` for an imported message before its backfill.
        conversation_id: Option<ConversationId>,
        /// Whether an inbound message has other content than the earlier one: channel, subject, body or attachments.
        differs: bool,
    },
    /// An earlier request had this key and another body; nothing changed.
    KeyConflict,
}
