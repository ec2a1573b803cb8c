use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{
    Attachments, Attempt, Body as Text, Channel, ConversationId, Direction, ErrorCode, Failure,
    FailureReason, GivenAddress, Message, MessageId, Outcome, ProviderName, Status, Subject, Timestamp,
    snippet,
};
use engine::Hold;
use serde::Serialize;
use store::MessageFilter;

use super::message_id;
use crate::{
    App,
    extract::{Ask, PathId},
    problem::Problem,
    routes::listing::{Envelope, Parameters},
};

/// A message as it is shown.
#[derive(Serialize)]
pub(crate) struct MessageView {
    id: MessageId,
    conversation_id: Option<ConversationId>,
    sequence: Option<u64>,
    direction: Direction,
    channel: Channel,
    from: GivenAddress,
    to: GivenAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    body: Text,
    snippet: String,
    attachments: Attachments,
    timestamp: Timestamp,
    processed_at: Timestamp,
    status: Status,
    provider: Option<ProviderName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
}

#[derive(Serialize)]
struct FailureView {
    reason: FailureReason,
    error_code: Option<ErrorCode>,
}

#[derive(Serialize)]
struct MessageDetailView {
    #[serde(flatten)]
    message: MessageView,
    attempts: Vec<AttemptView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
}

#[derive(Serialize)]
struct AttemptView {
    attempt_number: u32,
    provider: ProviderName,
    outcome: Outcome,
    error_code: Option<ErrorCode>,
    occurred_at: Timestamp,
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_outcome: Option<Outcome>,
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
        }
    }
}

/// `GET /api/messages/{id}`
pub(crate) async fn get(State(app): Ask, id: PathId) -> Result<Response, Problem> {
    let id = message_id(id)?;
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
        hold,
    };
    Ok(Json(view).into_response())
}

/// `GET /api/messages`
pub(crate) async fn list(
    State(app): Ask,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<Envelope<MessageView>>, Problem> {
    let parameters = Parameters::of(query);
    let filter = MessageFilter {
        status: parameters.filter("status")?,
        channel: parameters.filter("channel")?,
        provider: parameters.filter("provider")?,
    };
    let request = parameters.page()?;
    let page = app.engine().store().messages(&filter, &request).await?;
    Ok(Json(Envelope::of(&request, page, |message| {
        MessageView::of(&app, message)
    })))
}
