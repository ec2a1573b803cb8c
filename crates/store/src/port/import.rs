//! Messages from before.

use domain::{
    Channel, Content, Direction, GivenAddress, MessageId, ProviderMessageId, ProviderName, Timestamp,
};

/// A past message, brought in from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: MessageId,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// When it was written.
    pub timestamp: Timestamp,
    /// When it was imported.
    pub processed_at: Timestamp,
    /// Who sent or brought it.
    pub provider: ProviderName,
    /// The provider's id, by which repeats are recognized.
    pub provider_message_id: ProviderMessageId,
    /// The record as it came.
    pub payload: Box<str>,
}

/// A message without a conversation, and what tells where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutConversation {
    /// The message.
    pub id: MessageId,
    /// How it travelled.
    pub channel: Channel,
    /// From whom, as given.
    pub from: GivenAddress,
    /// To whom, as given.
    pub to: GivenAddress,
}

/// What an assignment came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Messages that have a conversation now.
    pub messages: u64,
    /// Conversations that are new.
    pub conversations: u64,
}
