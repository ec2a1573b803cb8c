//! Messages as the API shows them.

use domain::{
    Attachments, Attempt, Body as Text, Channel, ConversationId, Delivery, Direction, ErrorCode, Failure,
    FailureReason, GivenAddress, Message, MessageId, Metadata, Outcome, ProviderMessageId, ProviderName,
    Receipt, ReceiptStatus, Schedule, Status, Subject, Timestamp, snippet,
};
use engine::{Hold, HoldReason};
use serde::Serialize;
use store::MessageDetail;
use utoipa::ToSchema;

use crate::{
    extracted::Extracted,
    openapi::{enums, schemas},
};

#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageView {
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
    /// Null for an imported message that has no conversation yet.
    #[schema(required, value_type = Option<schemas::ConversationId>)]
    conversation_id: Option<ConversationId>,
    /// The order in which messages joined the conversation: 1, 2, 3 … without gaps. Null like `conversation_id`.
    #[schema(required, value_type = Option<i64>, minimum = 1, example = 1)]
    sequence: Option<u64>,
    #[schema(value_type = enums::Direction)]
    direction: Direction,
    #[schema(value_type = enums::Channel)]
    channel: Channel,
    /// As given.
    #[schema(value_type = String, example = "+12016661234")]
    from: GivenAddress,
    /// As given.
    #[schema(value_type = String, example = "+18045551234")]
    to: GivenAddress,
    /// Of an email.
    #[schema(value_type = schemas::Text, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    #[schema(value_type = schemas::Text)]
    body: Text,
    /// The beginning of the body, with … if it is cut.
    #[schema(example = "Hello!")]
    snippet: String,
    #[schema(value_type = Vec<schemas::Attachment>)]
    attachments: Attachments,
    /// When it was written, as given, or is to be sent; if missing, when it was processed.
    #[schema(value_type = schemas::Timestamp)]
    timestamp: Timestamp,
    /// When it was accepted.
    #[schema(value_type = schemas::Timestamp)]
    processed_at: Timestamp,
    #[schema(value_type = enums::Status)]
    status: Status,
    /// The provider that sends it or delivered it. Null for an imported message without one.
    #[schema(required, value_type = Option<schemas::ProviderName>)]
    provider: Option<ProviderName>,
    #[schema(value_type = FailureView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// Not sent before this time.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    send_at: Option<Timestamp>,
    /// Its own deadline.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// As given with the send.
    #[schema(value_type = schemas::Metadata, required = false)]
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    /// Once there is a receipt.
    #[schema(value_type = DeliveryView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryView>,
    /// With `extract=true`.
    #[schema(value_type = Extracted, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    extracted: Option<Extracted>,
}

/// What the receipts of a message say together; missing without any. `delivered` wins over `undelivered`, and both over `sent`.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    #[schema(value_type = enums::ReceiptStatus)]
    status: ReceiptStatus,
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
    /// When it happened, as the provider says; the earliest of several receipts with this status.
    #[schema(value_type = schemas::Timestamp)]
    at: Timestamp,
    /// Whether some receipts say `delivered` and others `undelivered`.
    contradicted: bool,
}

/// Why a message failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
struct FailureView {
    #[schema(value_type = enums::FailureReason)]
    reason: FailureReason,
    /// The last attempt's error; null without one.
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
}

/// A message, its attempts and its receipts.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageDetail)]
pub(crate) struct MessageDetailView {
    #[serde(flatten)]
    pub(super) message: MessageView,
    attempts: Vec<AttemptView>,
    /// The receipts that match the message, in the order in which they came; the latest 100.
    receipts: Vec<ReceiptView>,
    /// Of a pending message that is not with a worker.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = HoldView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
    /// Of a read with `wait_ms`: whether the status was reached in time.
    #[schema(value_type = enums::Waited, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wait: Option<enums::Waited>,
}

/// Why a pending message is not sent right now.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldView {
    reason: enums::HoldReason,
    #[schema(value_type = schemas::HoldCode)]
    code: HoldCode,
    /// Missing if the time is not known.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// The HTTP status behind a hold, or the code of the last error.
#[derive(Serialize)]
#[serde(untagged)]
enum HoldCode {
    Status(u16),
    Error(ErrorCode),
}

/// A call to the provider.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// 1, 2, 3 … without gaps, also over redrives.
    #[schema(minimum = 1, example = 1)]
    attempt_number: u32,
    #[schema(value_type = schemas::ProviderName)]
    provider: ProviderName,
    #[schema(value_type = enums::Outcome)]
    outcome: Outcome,
    /// Null after a success.
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
    /// When the call began; after an expired lease, when that was noticed.
    #[schema(value_type = schemas::Timestamp)]
    occurred_at: Timestamp,
    /// How long the call took; 0 if unknown.
    #[schema(value_type = schemas::Count, example = 12)]
    latency_ms: u64,
    /// The outcome that a worker reported after its attempt was recorded as `unknown`.
    #[schema(value_type = enums::Outcome, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    late_outcome: Option<Outcome>,
    /// The provider's id for the message, if it gave one.
    #[schema(value_type = schemas::ProviderMessageId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<ProviderMessageId>,
}

/// What a provider reported about a message after it took it.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptView {
    /// Null if the receipt does not say.
    #[schema(required, value_type = Option<schemas::ProviderName>)]
    provider: Option<ProviderName>,
    /// Null if the receipt names only the message.
    #[schema(required, value_type = Option<schemas::ProviderMessageId>)]
    provider_message_id: Option<ProviderMessageId>,
    #[schema(value_type = enums::ReceiptStatus)]
    status: ReceiptStatus,
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
    /// When it happened, as the provider says, or else when the receipt came.
    #[schema(value_type = schemas::Timestamp)]
    at: Timestamp,
    #[schema(value_type = schemas::Timestamp)]
    received_at: Timestamp,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        let Receipt {
            provider,
            provider_message_id,
            message_id: _,
            status,
            error_code,
            at,
            received_at,
        } = receipt;
        Self {
            provider,
            provider_message_id,
            status,
            error_code,
            at,
            received_at,
        }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let Delivery {
            status,
            error_code,
            at,
            contradicted,
        } = delivery;
        Self {
            status,
            error_code,
            at,
            contradicted,
        }
    }
}

impl MessageView {
    pub(crate) fn of(snippet_graphemes: usize, message: Message) -> Self {
        let Message {
            id,
            thread,
            direction,
            content,
            timestamp,
            processed_at,
            status,
            provider,
            failure,
            schedule,
            delivery,
        } = message;
        let Schedule { send_at, expires_at } = schedule;
        let (conversation_id, sequence) = thread.unzip();
        Self {
            id,
            conversation_id,
            sequence,
            direction,
            channel: content.channel,
            snippet: snippet(content.body.as_str(), snippet_graphemes),
            from: content.from,
            to: content.to,
            subject: content.subject,
            body: content.body,
            attachments: content.attachments,
            timestamp,
            processed_at,
            status,
            provider,
            failure: failure.map(|Failure { reason, error_code }| FailureView { reason, error_code }),
            send_at,
            expires_at,
            metadata: content.metadata,
            delivery: delivery.map(Into::into),
            extracted: None,
        }
    }

    /// With the links and codes of its text.
    pub(crate) fn extract(mut self) -> Self {
        self.extracted = Some(Extracted::of(
            self.subject.as_ref().map(Subject::as_str),
            self.body.as_str(),
        ));
        self
    }
}

/// The last message of a conversation's thread.
#[derive(Serialize, ToSchema)]
#[schema(as = LastMessage)]
pub(crate) struct LastMessageView {
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
    #[schema(value_type = enums::Direction)]
    direction: Direction,
    /// The beginning of the body, with … if it is cut.
    #[schema(example = "Hello!")]
    snippet: String,
    #[schema(value_type = schemas::Timestamp)]
    timestamp: Timestamp,
    #[schema(value_type = enums::Status)]
    status: Status,
}

impl LastMessageView {
    pub(crate) fn of(snippet_graphemes: usize, message: &Message) -> Self {
        Self {
            id: message.id,
            direction: message.direction,
            snippet: snippet(message.content.body.as_str(), snippet_graphemes),
            timestamp: message.timestamp,
            status: message.status,
        }
    }
}

impl HoldView {
    fn of(hold: Hold) -> Self {
        let Hold { reason, until } = hold;
        let (reason, code) = match reason {
            HoldReason::Scheduled => (
                enums::HoldReason::Scheduled,
                HoldCode::Error(ErrorCode::of("scheduled")),
            ),
            HoldReason::BreakerOpen => (enums::HoldReason::BreakerOpen, HoldCode::Status(503)),
            HoldReason::RateLimited => (enums::HoldReason::RateLimited, HoldCode::Status(429)),
            HoldReason::Backoff(code) => (enums::HoldReason::Backoff, HoldCode::Error(code)),
        };
        Self { reason, code, until }
    }
}

impl AttemptView {
    fn of(attempt: Attempt) -> Self {
        let Attempt {
            number,
            provider,
            outcome,
            error_code,
            occurred_at,
            latency,
            late_outcome,
            provider_message_id,
        } = attempt;
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        Self {
            attempt_number: number,
            provider,
            outcome,
            error_code,
            occurred_at,
            latency_ms,
            late_outcome,
            provider_message_id,
        }
    }
}

impl MessageDetailView {
    /// `waits` is what [`Engine::hold`](engine::Engine::hold) says.
    pub(crate) fn of(
        snippet_graphemes: usize,
        detail: MessageDetail,
        waits: (Option<Timestamp>, Option<Hold>),
    ) -> Self {
        let (next_attempt_at, hold) = waits;
        Self {
            attempts: detail.attempts.into_iter().map(AttemptView::of).collect(),
            receipts: detail.receipts.into_iter().map(Into::into).collect(),
            message: MessageView::of(snippet_graphemes, detail.message),
            next_attempt_at,
            hold: hold.map(HoldView::of),
            wait: None,
        }
    }
}
