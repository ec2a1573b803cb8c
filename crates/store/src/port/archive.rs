use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Channel, ConversationKey, Direction, GivenAddress, MessageId, NewMessage, ProviderMessageId,
    ProviderName, Timestamp,
};

use crate::StoreError;

/// Imports past messages, and purges expired idempotency keys.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Stores past messages. They have no outbox entry, and no conversation until [`Archive::assign`] gives them one.
    /// Messages whose provider message id is known are left out. Returns how many were stored.
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError>;

    /// How many messages have no conversation.
    async fn count_without_conversation(&self) -> Result<u64, StoreError>;

    /// Up to `limit` messages without a conversation, in the order of their ids, those after `after`.
    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError>;

    /// Gives messages without a conversation theirs, in the order of the batch, and leaves others alone. An id appears at
    /// most once. Callers that run at the same time give ids in ascending order, as [`Archive::without_conversation`]
    /// returns them, so that they cannot deadlock.
    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError>;

    /// Deletes up to `limit` idempotency keys older than `kept`, and returns how many.
    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// A past message from another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub id: MessageId,
    pub direction: Direction,
    pub message: NewMessage,
    /// When it was imported.
    pub processed_at: Timestamp,
    pub provider: ProviderName,
    pub provider_message_id: ProviderMessageId,
    /// The record as it came.
    pub payload: Box<str>,
}

impl Import {
    /// When it was written, or else imported.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp.unwrap_or(self.processed_at)
    }
}

/// A message without a conversation, and the fields that determine it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutConversation {
    pub id: MessageId,
    pub channel: Channel,
    pub from: GivenAddress,
    pub to: GivenAddress,
}

/// The result of [`Archive::assign`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Messages that got a conversation.
    pub messages: u64,
    /// Conversations that are new.
    pub conversations: u64,
}
