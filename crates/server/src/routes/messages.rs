use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::{
    Attachments, Attempt, Body as Text, Channel, ConversationId, Direction, ErrorCode, Failure,
    FailureReason, GivenAddress, IdempotencyKey, Message, MessageId, Outcome, ProviderName, Status, Subject,
    Timestamp, snippet,
};
use engine::{Hold, Send, SendError, Sent};
use resilience::rate_limit::{
    Allowance,
    headers::{PolicyName, rate_limit, rate_limit_policy},
};
use serde::{Deserialize, Serialize};
use store::{IdempotentRequest, MessageFilter, RedriveFilter, Redriven};

use super::{
    draft::{Checked, Draft, named_channel, phone_channel},
    listing::{Envelope, Parameters},
};
use crate::{
    App, client,
    json::{parse, read_body},
    problem::{FieldError, Problem},
    router::{Ask, PathId},
};

const SENDER: PolicyName = PolicyName::new("sender");
const IP: PolicyName = PolicyName::new("ip");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// As Stripe's API marks it.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

#[derive(Deserialize)]
struct SmsRequest {
    from: Option<String>,
    to: Option<String>,
    r#type: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
struct EmailRequest {
    from: Option<String>,
    to: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
struct MessageRequest {
    channel: Option<String>,
    r#type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    timestamp: Option<String>,
}

#[derive(Serialize)]
struct AcceptedResponse {
    status: &'static str,
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
}

/// `POST /api/messages/sms`
pub(crate) async fn send_sms(State(app): Ask, request: Request) -> Response {
    accept(&app, request, |body| {
        let SmsRequest {
            from,
            to,
            r#type,
            body,
            attachments,
            timestamp,
        } = parse(body)?;
        let channel = phone_channel(r#type.as_deref()).map_err(|error| Problem::invalid(vec![error]))?;
        Ok(Draft {
            channel,
            from,
            to,
            subject: None,
            body,
            attachments,
            timestamp,
        })
    })
    .await
}

/// `POST /api/messages/email`
pub(crate) async fn send_email(State(app): Ask, request: Request) -> Response {
    accept(&app, request, |body| {
        let EmailRequest {
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        } = parse(body)?;
        Ok(Draft {
            channel: Channel::Email,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        })
    })
    .await
}

/// `POST /api/messages`
pub(crate) async fn send(State(app): Ask, request: Request) -> Response {
    accept(&app, request, |body| {
        let MessageRequest {
            channel,
            r#type,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        } = parse(body)?;
        let channel = named_channel(channel.as_deref(), r#type.as_deref());
        let channel = channel.map_err(|error| Problem::invalid(vec![error]))?;
        let subject = subject.filter(|_| channel == Channel::Email);
        Ok(Draft {
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        })
    })
    .await
}

/// Limits, reads, checks and accepts a message, in this order. Whatever comes of it, the client is told its limits.
async fn accept(
    app: &App,
    request: Request,
    draft: impl FnOnce(&[u8]) -> Result<Draft, Problem>,
) -> Response {
    let (head, body) = request.into_parts();
    let ip = app.engine().limits().check_ip(client::address(app, &head));
    let mut allowances = vec![(IP, ip.allowance)];
    let result = match ip.refused {
        Some(retry_after) => Err(Problem::rate_limited("address", retry_after)),
        None => accept_limited(app, &head, body, draft, &mut allowances).await,
    };
    let mut response = result.into_response();
    tell_limits(app, response.headers_mut(), &allowances);
    response
}

async fn accept_limited(
    app: &App,
    head: &Parts,
    body: Body,
    draft: impl FnOnce(&[u8]) -> Result<Draft, Problem>,
    allowances: &mut Vec<(PolicyName, Allowance)>,
) -> Result<Response, Problem> {
    if app.engine().is_overloaded() {
        return Err(Problem::overloaded());
    }
    let key = idempotency_key(&head.headers)?;
    let body = read_body(app, &head.headers, body).await?;
    let draft = draft(&body)?;
    let request = key.map(|key| IdempotentRequest {
        key,
        fingerprint: draft.fingerprint(),
    });
    let Checked {
        from,
        to,
        content,
        timestamp,
    } = draft.check(app).map_err(Problem::invalid)?;
    let outcome = app
        .engine()
        .send(Send {
            from,
            to,
            content,
            timestamp,
            request,
        })
        .await;
    allowances.extend(outcome.sender.map(|allowance| (SENDER, allowance)));
    match outcome.result {
        Ok(sent) => Ok(accepted(&sent)),
        Err(SendError::NoProvider) => Err(Problem::no_provider()),
        Err(SendError::RateLimited { retry_after }) => Err(Problem::rate_limited("sender", retry_after)),
        Err(SendError::KeyConflict) => {
            let detail =
                "This Idempotency-Key was used for another message. Use a new key for a new message.";
            Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                detail,
            ))
        }
        Err(SendError::NotAccepted(rejection)) => Err(rejection.into()),
    }
}

fn accepted(sent: &Sent) -> Response {
    let body = AcceptedResponse {
        status: "accepted",
        id: sent.id,
        conversation_id: Some(sent.conversation_id),
    };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/api/messages/{}", sent.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if sent.replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let invalid = |detail: &str| Problem::invalid(vec![FieldError::new("Idempotency-Key", detail)]);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(invalid("send the header once")),
        (Some(value), None) => {
            let key = value.to_str().unwrap_or_default().parse();
            key.map(Some)
                .map_err(|error: domain::IdempotencyKeyError| invalid(&error.to_string()))
        }
    }
}

fn tell_limits(app: &App, headers: &mut HeaderMap, allowances: &[(PolicyName, Allowance)]) {
    let quotas = app.engine().limits().quotas();
    let policies = [(SENDER, quotas.per_sender), (IP, quotas.per_ip)];
    for (name, value) in [
        (RATE_LIMIT_POLICY, rate_limit_policy(&policies)),
        (RATE_LIMIT, rate_limit(allowances)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

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

/// `POST /api/messages/{id}/redrive`
pub(crate) async fn redrive(State(app): Ask, id: PathId) -> Result<Response, Problem> {
    let id = message_id(id)?;
    match app.engine().redrive(id).await.map_err(Problem::of_redrive)? {
        Redriven::Pending => {
            let body = AcceptedResponse {
                status: "accepted",
                id,
                conversation_id: None,
            };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Redriven::NotFound => Err(Problem::not_found("message")),
        Redriven::NotFailed => {
            let detail = "Only a failed message can be redriven.";
            Err(Problem::new(StatusCode::CONFLICT, "not_failed", detail))
        }
    }
}

#[derive(Deserialize)]
struct RedriveRequest {
    provider: Option<String>,
    channel: Option<String>,
    reason: Option<String>,
    failed_before: Option<String>,
}

#[derive(Serialize)]
struct RedrivenResponse {
    redriven: u64,
}

/// `POST /api/messages/redrive`
pub(crate) async fn redrive_matching(State(app): Ask, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head.headers, body).await?;
    let filter = redrive_filter(parse(&body)?)?;
    let redriven = app.engine().redrive_matching(&filter).await;
    let redriven = redriven.map_err(Problem::of_redrive)?;
    Ok((StatusCode::ACCEPTED, Json(RedrivenResponse { redriven })).into_response())
}

fn redrive_filter(request: RedriveRequest) -> Result<RedriveFilter, Problem> {
    let RedriveRequest {
        provider,
        channel,
        reason,
        failed_before,
    } = request;
    let invalid = |pointer: &str, detail: String| Problem::invalid(vec![FieldError::new(pointer, detail)]);
    let instant = |text: String| {
        Timestamp::parse(&text)
            .ok_or_else(|| invalid("/failed_before", "use a time such as 2026-11-21T10:00:00Z".into()))
    };
    let filter = RedriveFilter {
        provider: word("/provider", provider)?,
        channel: word("/channel", channel)?,
        reason: word("/reason", reason)?,
        failed_before: failed_before.map(instant).transpose()?,
    };
    if filter == RedriveFilter::default() {
        let detail = "name at least one of provider, channel, reason and failed_before";
        return Err(invalid("", detail.to_owned()));
    }
    Ok(filter)
}

fn word<T: std::str::FromStr<Err: ToString>>(
    pointer: &str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error: T::Err| Problem::invalid(vec![FieldError::new(pointer, error)]))
}

/// An id that is none names no message.
fn message_id(id: PathId) -> Result<MessageId, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("message"))
}
