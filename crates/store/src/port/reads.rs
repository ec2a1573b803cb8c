use async_trait::async_trait;
use domain::{
    Attempt, Channel, Conversation, ConversationChannel, ConversationId, ConversationPosition, Direction,
    Message, MessageId, Page, PageRequest, Participant, ProviderName, Receipt, Status, ThreadPosition,
    Timestamp,
};

use crate::StoreError;

/// Reads messages and conversations.
#[async_trait]
pub trait Reads: Send + Sync {
    /// One message with its attempts and receipts, all read at one moment.
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError>;

    /// Like [`Reads::message`] for each of `ids`, in any order; unknown ones are left out.
    async fn message_details(&self, ids: &[MessageId]) -> Result<Vec<MessageDetail>, StoreError> {
        let mut details = Vec::with_capacity(ids.len());
        for id in ids {
            details.extend(self.message(*id).await?);
        }
        Ok(details)
    }

    /// Messages, newest processed first. A page ends before it exceeds [`PAGE_BYTES_MAX`](domain::PAGE_BYTES_MAX).
    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError>;

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError>;

    /// Conversations, latest activity first, then highest id.
    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError>;

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
    pub direction: Option<Direction>,
    pub from: Option<Participant>,
    pub to: Option<Participant>,
    pub conversation_id: Option<ConversationId>,
    /// Processed at this time or later.
    pub since: Option<Timestamp>,
}

/// Which conversations to list; `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    pub channel: Option<ConversationChannel>,
    /// On either side.
    pub participant: Option<Participant>,
}

/// A conversation and the last message of its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedConversation {
    pub conversation: Conversation,
    /// `None` only where the message is stored but cannot be seen yet.
    pub last_message: Option<Message>,
}

/// A message with its attempts, receipts and outbox entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDetail {
    pub message: Message,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Those that were applied, in the order in which they came; the latest [`RECEIPTS_SHOWN_MAX`](crate::RECEIPTS_SHOWN_MAX).
    pub receipts: Vec<Receipt>,
    /// The outbox entry, while the message is scheduled or pending.
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
