use std::sync::Arc;

use crate::{
    Attachments, Body, Channel, ConversationId, ConversationKey, ErrorCode, FailureReason, GivenAddress,
    MessageId, Participant, ProviderName, Subject, Timestamp, vocabulary::vocabulary,
};

vocabulary! {
    /// Seen from this service.
    pub enum Direction {
        Inbound = "inbound",
        Outbound = "outbound",
    }
}

vocabulary! {
    /// A status never goes back, except that a redrive makes a failed message pending again.
    pub enum Status {
        /// Outbound, accepted and not yet final.
        Pending = "pending",
        /// Outbound, taken by the provider.
        Dispatched = "dispatched",
        /// Outbound, a dead letter.
        Failed = "failed",
        /// Inbound.
        Received = "received",
    }
}

/// The part of a message that is stored, returned and passed to a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    pub channel: Channel,
    pub from: GivenAddress,
    pub to: GivenAddress,
    /// Only emails have one.
    pub subject: Option<Subject>,
    pub body: Body,
    pub attachments: Attachments,
}

impl Content {
    /// Bytes of subject, body and attachments.
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
    pub id: MessageId,
    /// The conversation and the sequence in it: 1, 2, 3 … without gaps, in the order of joining. `None` for an imported message
    /// before its backfill.
    pub thread: Option<(ConversationId, u64)>,
    pub direction: Direction,
    pub content: Content,
    /// When it was written, or else processed.
    pub timestamp: Timestamp,
    /// When it was accepted.
    pub processed_at: Timestamp,
    pub status: Status,
    pub provider: Option<ProviderName>,
    pub failure: Option<Failure>,
}

/// Why a message became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub reason: FailureReason,
    /// The error of the last attempt.
    pub error_code: Option<ErrorCode>,
}
