use std::sync::Arc;

use crate::{
    Attachments, Body, Channel, ConversationId, ConversationKey, Delivery, ErrorCode, FailureReason,
    GivenAddress, MessageId, Metadata, Participant, ProviderName, ReceiptStatus, Subject, Timestamp,
    vocabulary::vocabulary,
};

vocabulary! {
    /// Seen from this service.
    pub enum Direction {
        Inbound = "inbound",
        Outbound = "outbound",
    }
}

vocabulary! {
    /// Where a message is on its way. A status never goes back, except that a redrive makes a failed message pending again.
    pub enum Status {
        /// Outbound, accepted for a later time.
        Scheduled = "scheduled",
        /// Outbound, accepted and not yet final.
        Pending = "pending",
        /// Outbound, taken by the provider.
        Dispatched = "dispatched",
        /// Outbound; a receipt says that it arrived.
        Delivered = "delivered",
        /// Outbound; a receipt says that it will not arrive.
        Undelivered = "undelivered",
        /// Outbound, a dead letter.
        Failed = "failed",
        /// Outbound, canceled before any provider took it.
        Canceled = "canceled",
        /// Inbound.
        Received = "received",
    }
}

/// The outbox entry of a message, as far as its status depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutboxState {
    /// Due later, and never tried.
    Scheduled,
    Pending,
    Dead,
}

impl Status {
    /// Whether dispatch, receipts and cancellation are not awaited any more. A receipt may still follow `dispatched`.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Pending)
    }

    /// The status of an outbound message: a fold over facts that only grow. It has no outbox entry once a provider took it or
    /// it was canceled.
    #[must_use]
    pub const fn of_outbound(
        entry: Option<OutboxState>,
        canceled: bool,
        receipts: Option<ReceiptStatus>,
    ) -> Self {
        match (entry, receipts) {
            (Some(OutboxState::Scheduled), _) => Self::Scheduled,
            (Some(OutboxState::Pending), _) => Self::Pending,
            (Some(OutboxState::Dead), _) => Self::Failed,
            (None, _) if canceled => Self::Canceled,
            (None, Some(ReceiptStatus::Delivered)) => Self::Delivered,
            (None, Some(ReceiptStatus::Undelivered)) => Self::Undelivered,
            (None, Some(ReceiptStatus::Sent) | None) => Self::Dispatched,
        }
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
    /// Empty for inbound messages.
    pub metadata: Metadata,
}

impl Content {
    /// Bytes of subject, body, attachments and metadata.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let subject = self.subject.as_ref().map_or(0, |subject| subject.as_str().len());
        let attachments: usize = self.attachments.as_slice().iter().map(String::len).sum();
        subject + self.body.as_str().len() + attachments + self.metadata.bytes()
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
    pub schedule: Schedule,
}

/// When a message is sent. Only outbound messages have one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Not before this time; `None` is at once.
    pub send_at: Option<Timestamp>,
    /// Its own deadline, instead of the operator's.
    pub expires_at: Option<Timestamp>,
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
    /// When it was written or is to be sent, or else processed.
    pub timestamp: Timestamp,
    /// When it was accepted.
    pub processed_at: Timestamp,
    pub status: Status,
    pub provider: Option<ProviderName>,
    pub failure: Option<Failure>,
    pub schedule: Schedule,
    /// What the receipts say; `None` without any.
    pub delivery: Option<Delivery>,
}

/// Why a message became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub reason: FailureReason,
    /// The error of the last attempt.
    pub error_code: Option<ErrorCode>,
}
