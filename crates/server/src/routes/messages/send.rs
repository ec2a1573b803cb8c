use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::{Channel, Checked, Draft, FieldError, IdempotencyKey, named_channel, phone_channel};
use engine::{Send, SendError, Sent};
use resilience::rate_limit::{
    Allowance,
    headers::{PolicyName, rate_limit, rate_limit_policy},
};
use serde::Deserialize;
use store::IdempotentRequest;

use crate::{
    App, client,
    extract::Ask,
    json::{parse, read_body},
    problem::Problem,
    routes::accepted::accepted,
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
    } = draft.check(&app.settings().drafts).map_err(Problem::invalid)?;
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
        Ok(sent) => Ok(answer(&sent)),
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

fn answer(sent: &Sent) -> Response {
    let mut response = accepted(sent.id, Some(sent.conversation_id));
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
