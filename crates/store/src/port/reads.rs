use async_trait::async_trait;
use domain::{
    Attempt, Channel, Conversation, ConversationChannel, ConversationId, ConversationPosition, Message,
    MessageId, Page, PageRequest, Participant, ProviderName, Status, ThreadPosition, Timestamp,
};

use crate::StoreError;

/// Reads messages and conversations.
#[async_trait]
pub trait Reads: Send + Sync {
    /// One message with its attempts, all read at one moment.
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError>;

    /// Messages, newest processed first. A page ends before it exceeds [`PAGE_BYTES_MAX`](domain::PAGE_BYTES_MAX).
    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError>;

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// Conversations, latest activity first, then highest id.
    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<Conversation, ConversationPosition>, StoreError>;

    /// The messages of a conversation by timestamp, then in the order of joining; `None` for an unknown conversation. A page
    /// ends before it exceeds [`PAGE_BYTES_MAX`](domain::PAGE_BYTES_MAX).
    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError>;
}

/// Which messages to list; `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    pub status: Option<Status>,
    pub channel: Option<Channel>,
    pub provider: Option<ProviderName>,
}

/// Which conversations to list; `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    pub channel: Option<ConversationChannel>,
    /// On either side.
    pub participant: Option<Participant>,
}

/// A message with its attempts and its outbox entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDetail {
    pub message: Message,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// The outbox entry, while the message is pending.
    pub waiting: Option<Waiting>,
}

/// When a pending message can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub due_at: Timestamp,
    /// Whether it is due by now, by the database's clock.
    pub due: bool,
    /// Whether a node holds a lease on it.
    pub leased: bool,
}
