use std::sync::Arc;

use crate::{
    Attachments, Body, Channel, ConversationId, ConversationKey, ErrorCode, FailureReason, GivenAddress,
    MessageId, Participant, ProviderName, Subject, Timestamp, vocabulary::vocabulary,
};

vocabulary! {
    /// Which way a message went, seen from here.
    pub enum Direction {
        /// From a provider to us.
        Inbound = "inbound",
        /// From us to a provider.
        Outbound = "outbound",
    }
}

vocabulary! {
    /// Where a message stands. It never goes back, except that a redrive makes a failed message pending again.
    pub enum Status {
        /// Outbound, accepted and not yet final.
        Pending = "pending",
        /// Outbound, taken by the provider.
        Dispatched = "dispatched",
        /// Outbound, given up: a dead letter.
        Failed = "failed",
        /// Inbound.
        Received = "received",
    }
}

/// What a message says, and from whom to whom: what is stored, returned and handed to a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// How it travels.
    pub channel: Channel,
    /// From whom, as given.
    pub from: GivenAddress,
    /// To whom, as given.
    pub to: GivenAddress,
    /// Only emails have one.
    pub subject: Option<Subject>,
    /// What it says.
    pub body: Body,
    /// What is attached.
    pub attachments: Attachments,
}

impl Content {
    /// Bytes of its texts: subject, body and attachments.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let subject = self.subject.as_ref().map_or(0, |subject| subject.as_str().len());
        let attachments: usize = self.attachments.as_slice().iter().map(String::len).sum();
        subject + self.body.as_str().len() + attachments
    }
}

/// A message that was checked at the edge and is not stored yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMessage {
    pub from: Participant,
    pub to: Participant,
    /// Shared, because it is stored and dispatched at the same time.
    pub content: Arc<Content>,
    /// When it was written; `None` if its source gives no believable time.
    pub timestamp: Option<Timestamp>,
}

impl NewMessage {
    #[must_use]
    pub fn conversation(&self) -> ConversationKey {
        let channel = self.content.channel.conversation();
        ConversationKey::new(channel, self.from.clone(), self.to.clone())
    }
}

/// A stored message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its conversation, and its place in it: 1, 2, 3 … without gaps, in the order of joining. An imported message has
    /// none until the backfill gives it one.
    pub thread: Option<(ConversationId, u64)>,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// When it was written, as its sender said, or else when it was processed.
    pub timestamp: Timestamp,
    /// When it was accepted here.
    pub processed_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Which provider serves it, or brought it.
    pub provider: Option<ProviderName>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
}

/// Why a message became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The rule that ended it.
    pub reason: FailureReason,
    /// The last error, if a provider or worker gave one.
    pub error_code: Option<ErrorCode>,
}
