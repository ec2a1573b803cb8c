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

use super::message_id;
use crate::{
    App,
    extract::{AppState, PathId},
    openapi::{
        enums,
        problems::{ListErrors, ReadErrors},
        schemas,
    },
    problem::Problem,
    routes::listing::{Envelope, Paging, Parameters, answer},
};

/// Bytes of an answer about one message beside what its sender said: ids, times, attempts.
const DETAIL_BYTES: usize = 4 * 1024;
/// Bytes that a page of messages takes while it is made, usually at most: what was read, and what is written of it. Eight of them
/// have room, which is as many as the store reads at the same time. One that takes more gets it, or is refused.
const PAGE_BYTES: usize = 2 * PAGE_BYTES_MAX;

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageView {
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
    /// Null for an imported message that no conversation has taken in yet.
    #[schema(required, value_type = Option<schemas::ConversationId>)]
    conversation_id: Option<ConversationId>,
    /// Its place in the conversation, in the order of joining: 1, 2, 3 … without gaps. Null like `conversation_id`.
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
    /// Only emails have one.
    #[schema(value_type = schemas::Text, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    #[schema(value_type = schemas::Text)]
    body: Text,
    /// The beginning of the body, followed by … when something was left out.
    #[schema(example = "Hello!")]
    snippet: String,
    #[schema(value_type = Vec<schemas::Attachment>)]
    attachments: Attachments,
    /// When it was written, as its sender said, or else when it was processed.
    #[schema(value_type = schemas::Timestamp)]
    timestamp: Timestamp,
    /// When it was accepted here.
    #[schema(value_type = schemas::Timestamp)]
    processed_at: Timestamp,
    #[schema(value_type = enums::Status)]
    status: Status,
    /// Which provider serves it, or brought it. Null when nobody knows.
    #[schema(required, value_type = Option<schemas::ProviderName>)]
    provider: Option<ProviderName>,
    #[schema(value_type = FailureView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
}

/// Why a message failed; of failed ones.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
struct FailureView {
    #[schema(value_type = enums::FailureReason)]
    reason: FailureReason,
    /// The last error, if there was one.
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
}

/// A message, with what was done to send it.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageDetail)]
struct MessageDetailView {
    #[serde(flatten)]
    message: MessageView,
    attempts: Vec<AttemptView>,
    /// When it is tried next; while it waits.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = HoldView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
}

/// Why a pending message is not being sent right now.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldView {
    reason: enums::HoldReason,
    #[schema(value_type = schemas::HoldCode)]
    code: HoldCode,
    /// Until when, as far as anybody can tell.
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

/// A try to hand a message to its provider.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// 1, 2, 3 … without gaps, going on after a redrive.
    #[schema(minimum = 1, example = 1)]
    attempt_number: u32,
    #[schema(value_type = schemas::ProviderName)]
    provider: ProviderName,
    #[schema(value_type = enums::Outcome)]
    outcome: Outcome,
    /// What went wrong, if something did.
    #[schema(required, value_type = Option<schemas::ErrorCode>)]
    error_code: Option<ErrorCode>,
    /// When the call began; of a worker whose lease expired, when that was noticed.
    #[schema(value_type = schemas::Timestamp)]
    occurred_at: Timestamp,
    /// How long the call took; zero when nobody knows.
    #[schema(value_type = schemas::Count, example = 12)]
    latency_ms: u64,
    /// What a worker reported after its attempt had been recorded as `unknown`.
    #[schema(value_type = enums::Outcome, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    late_outcome: Option<Outcome>,
    /// The id under which the provider has it, if it gave one.
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
/// With every attempt to send it, and while it waits, with what it waits for.
#[utoipa::path(
    get, path = "/api/messages/{id}", operation_id = "getMessage", tag = "Read",
    params(("id" = schemas::MessageId, Path, description = "The message's id")),
    responses((status = 200, body = MessageDetailView, description = "The message."), ReadErrors),
)]
pub(crate) async fn get(State(app): AppState, id: PathId) -> Result<Response, Problem> {
    let id = message_id(id)?;
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

/// Bytes that the answer about one message may take, unless much of it has to be escaped.
fn message_bytes(app: &App) -> usize {
    app.settings().body_bytes_max + DETAIL_BYTES
}

/// Bytes that a page of messages may take while it is made.
pub(crate) fn page_bytes<P>(app: &App, request: &PageRequest<P>) -> usize {
    (request.size() as usize * message_bytes(app)).min(PAGE_BYTES)
}

/// List messages
///
/// Those processed last come first. `total` is exact up to 10,000 and stays there beyond, with `total_capped`.
#[utoipa::path(
    get, path = "/api/messages", operation_id = "listMessages", tag = "Read",
    params(
        Paging,
        ("status" = Option<enums::Status>, Query),
        ("channel" = Option<enums::Channel>, Query),
        ("provider" = Option<schemas::ProviderName>, Query),
    ),
    responses((status = 200, body = Envelope<MessageView>, description = "A page of them."), ListErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = Parameters::of(query);
    let filter = MessageFilter {
        status: parameters.filter("status")?,
        channel: parameters.filter("channel")?,
        provider: parameters.filter("provider")?,
    };
    let request = parameters.page()?;
    let room = app.answers().room(page_bytes(&app, &request)).await?;
    let page = app.engine().store().messages(&filter, &request).await?;
    answer(&app, room, &request, page, |message| {
        MessageView::of(&app, message)
    })
    .await
}
