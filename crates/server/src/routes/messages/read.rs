use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    Attachments, Attempt, Body as Text, Channel, ConversationId, Direction, ErrorCode, Failure,
    FailureReason, GivenAddress, Message, MessageId, Outcome, PAGE_BYTES_MAX, PageRequest, ProviderMessageId,
    ProviderName, Status, Subject, Timestamp, snippet,
};
use engine::{Hold, HoldReason};
use serde::Serialize;
use store::MessageFilter;
use utoipa::ToSchema;

use crate::{
    App,
    extract::{self, AppState, PathId},
    openapi::{
        enums,
        problems::{ListErrors, ReadErrors},
        schemas,
    },
    problem::Problem,
    routes::listing::{Envelope, ListingParameters, Paging, answer},
};

/// Bytes of a message in an answer, beside its content: ids, times, attempts.
const DETAIL_BYTES: usize = 4 * 1024;
/// Bytes reserved for a page of messages: what is read, and what is written of it. There is room for eight pages, as many as
/// the store reads concurrently. A page that needs more gets it, or is refused.
const PAGE_BYTES: usize = 2 * PAGE_BYTES_MAX;

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
    /// When it was written, as given; if missing, when it was processed.
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

/// A message and its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageDetail)]
struct MessageDetailView {
    #[serde(flatten)]
    message: MessageView,
    attempts: Vec<AttemptView>,
    /// Of a pending message that is not with a worker.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = HoldView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
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

impl MessageView {
    pub(crate) fn of(app: &App, message: Message) -> Self {
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
            ..
        } = message;
        let (conversation_id, sequence) = thread.unzip();
        Self {
            id,
            conversation_id,
            sequence,
            direction,
            channel: content.channel,
            snippet: snippet(content.body.as_str(), app.settings().snippet_graphemes),
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

/// Read a message
///
/// With its attempts and, while it waits, the reason.
#[utoipa::path(
    get, path = "/api/messages/{id}", operation_id = "getMessage", tag = "Read",
    params(("id" = schemas::MessageId, Path, description = "The message's id")),
    responses((status = 200, body = MessageDetailView, description = "The message."), ReadErrors),
)]
pub(crate) async fn get(State(app): AppState, id: PathId) -> Result<Response, Problem> {
    let id = extract::id(id, "message")?;
    let room = app.answers().room(message_bytes(&app)).await?;
    let detail = app
        .engine()
        .store()
        .message(id)
        .await?
        .ok_or_else(|| Problem::not_found("message"))?;
    let (next_attempt_at, hold) = app.engine().hold(&detail);
    let view = MessageDetailView {
        attempts: detail.attempts.into_iter().map(AttemptView::of).collect(),
        message: MessageView::of(&app, detail.message),
        next_attempt_at,
        hold: hold.map(HoldView::of),
    };
    app.answers().json(room, &view).await
}

/// Bytes of an answer about one message, unless much of it needs escapes.
fn message_bytes(app: &App) -> usize {
    app.settings().body_bytes_max + DETAIL_BYTES
}

/// Bytes to reserve for a page of messages.
pub(crate) fn page_bytes<P>(app: &App, request: &PageRequest<P>) -> usize {
    (request.size() as usize * message_bytes(app)).min(PAGE_BYTES)
}

/// List messages
///
/// Latest processed first. `total` is exact up to 10,000 and stays there beyond, with `total_capped`.
#[utoipa::path(
    get, path = "/api/messages", operation_id = "listMessages", tag = "Read",
    params(
        Paging,
        ("status" = Option<enums::Status>, Query),
        ("channel" = Option<enums::Channel>, Query),
        ("provider" = Option<schemas::ProviderName>, Query),
    ),
    responses((status = 200, body = Envelope<MessageView>, description = "A page of messages."), ListErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let filter = MessageFilter {
        status: parameters.filter("status")?,
        channel: parameters.filter("channel")?,
        provider: parameters.filter("provider")?,
        ..MessageFilter::default()
    };
    let request = parameters.page()?;
    let room = app.answers().room(page_bytes(&app, &request)).await?;
    let page = app.engine().store().messages(&filter, &request).await?;
    answer(&app, room, &request, page, |message| {
        MessageView::of(&app, message)
    })
    .await
}
