use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::{Channel, Draft, FieldError, IdempotencyKey, Origin};
use engine::{LimitSettings, SendError, Sent};
use resilience::rate_limit::{
    Allowance,
    headers::{PolicyName, rate_limit, rate_limit_policy},
};
use store::IdempotentRequest;
use utoipa::{IntoParams, IntoResponses};

use crate::{
    App, client,
    extract::AppState,
    json::{parse, read_body},
    openapi::{
        enums::{self, EmailChannel, PhoneChannel},
        problems::SendErrors,
        schemas,
    },
    problem::{Code, Problem},
    routes::{
        accepted::{Accepted, accepted},
        message_body::message_body,
    },
};

const SENDER: PolicyName = PolicyName::new("sender");
const IP: PolicyName = PolicyName::new("ip");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The name that Stripe's API uses.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `idempotency_key` reads")]
struct SendHeaders {
    /// Marks repeats of one request.
    #[param(rename = "Idempotency-Key", value_type = Option<schemas::IdempotencyKey>)]
    idempotency_key: Option<String>,
}

message_body! {
    /// An SMS or MMS to send. An SMS needs a body, an MMS at least one attachment.
    SmsRequest [send_at expires_at metadata] {
        /// If given, the same as `type`.
        #[schema(value_type = Option<PhoneChannel>)]
        channel,
        #[schema(required, value_type = PhoneChannel)]
        r#type,
        #[schema(required, value_type = schemas::Sender)]
        from,
        #[schema(required, value_type = schemas::PhoneNumber)]
        to,
        /// May be empty or missing in an MMS.
        #[schema(value_type = Option<schemas::Text>)]
        body,
    }
}

message_body! {
    /// An email to send.
    EmailRequest [send_at expires_at metadata] {
        /// If given, `email`.
        #[schema(value_type = Option<EmailChannel>)]
        channel,
        /// If given, `email`.
        #[schema(value_type = Option<EmailChannel>)]
        r#type,
        #[schema(required, value_type = schemas::EmailAddress)]
        from,
        #[schema(required, value_type = schemas::EmailAddress)]
        to,
        #[schema(required, value_type = schemas::Text)]
        body,
    }
}

message_body! {
    /// A message to send, of any channel. An SMS or email needs a body, an MMS at least one attachment.
    MessageRequest [send_at expires_at metadata] {
        #[schema(required, value_type = enums::Channel)]
        channel,
        /// If given, the same as `channel`.
        #[schema(value_type = Option<enums::Channel>)]
        r#type,
        #[schema(required, value_type = schemas::Address)]
        from,
        #[schema(required, value_type = schemas::Address)]
        to,
        /// May be empty or missing in an MMS.
        #[schema(value_type = Option<schemas::Text>)]
        body,
    }
}

/// Accepted, or accepted before under the same key.
#[derive(IntoResponses)]
#[response(status = 202, headers(
    ("Location" = String, description = "Where to read the message."),
    ("Idempotent-Replayed" = String, description = "`true` when it had been accepted before under the same key."),
))]
#[expect(dead_code, reason = "it describes what `answer` writes")]
struct AcceptedToSend(Accepted);

/// Send an SMS or MMS
///
/// A `202` means that the message is durable, and will be dispatched or fail with a reason. If you get no answer, repeat the
/// request with the same `Idempotency-Key`: nothing is sent twice.
#[utoipa::path(
    post, path = "/api/messages/sms", operation_id = "sendSms", tag = "Send",
    params(SendHeaders),
    request_body(
        content = SmsRequest,
        examples(
            ("sms" = (value = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello!"}))),
            ("later" = (value = json!({"from": "Acme", "to": "+18045551234", "type": "sms", "body": "Your table is ready.", "send_at": "2026-12-24T08:00:00Z", "expires_at": "2026-12-24T20:00:00Z", "metadata": {"order": "17"}}))),
            ("mms" = (value = json!({"from": "+12016661234", "to": "+18045551234", "type": "mms", "body": "The menu", "attachments": ["https://example.com/menu.png"], "timestamp": "2026-11-21T10:00:00Z"}))),
        ),
    ),
    responses(AcceptedToSend, SendErrors),
)]
pub(crate) async fn send_sms(State(app): AppState, request: Request) -> Response {
    accept(&app, request, |body| {
        parse::<SmsRequest>(body)?.draft(Origin::Client, &[Channel::Sms, Channel::Mms])
    })
    .await
}

/// Send an email
///
/// A `202` means that the message is durable, and will be dispatched or fail with a reason. If you get no answer, repeat the
/// request with the same `Idempotency-Key`: nothing is sent twice.
#[utoipa::path(
    post, path = "/api/messages/email", operation_id = "sendEmail", tag = "Send",
    params(SendHeaders),
    request_body(
        content = EmailRequest,
        examples(
            ("email" = (value = json!({"from": "shop@example.com", "to": "customer@example.com", "subject": "Your order", "body": "<p>It is on its way.</p>"}))),
        ),
    ),
    responses(AcceptedToSend, SendErrors),
)]
pub(crate) async fn send_email(State(app): AppState, request: Request) -> Response {
    accept(&app, request, |body| {
        parse::<EmailRequest>(body)?.draft(Origin::Client, &[Channel::Email])
    })
    .await
}

/// Send a message of any channel
///
/// A `202` means that the message is durable, and will be dispatched or fail with a reason. If you get no answer, repeat the
/// request with the same `Idempotency-Key`: nothing is sent twice.
#[utoipa::path(
    post, path = "/api/messages", operation_id = "send", tag = "Send",
    params(SendHeaders),
    request_body(
        content = MessageRequest,
        examples(
            ("sms" = (value = json!({"channel": "sms", "from": "Acme", "to": "+18045551234", "body": "Hello!"}))),
            ("email" = (value = json!({"channel": "email", "from": "shop@example.com", "to": "customer@example.com", "subject": "Your order", "body": "<p>It is on its way.</p>"}))),
        ),
    ),
    responses(AcceptedToSend, SendErrors),
)]
pub(crate) async fn send(State(app): AppState, request: Request) -> Response {
    accept(&app, request, |body| {
        parse::<MessageRequest>(body)?.draft(Origin::Client, Channel::ALL)
    })
    .await
}

/// Limits, reads, checks and accepts a message, in this order. Every response has the headers of the limits.
async fn accept(
    app: &App,
    request: Request,
    draft: impl FnOnce(&[u8]) -> Result<Draft, Problem>,
) -> Response {
    let (head, body) = request.into_parts();
    let ip = app.engine().limits().check_ip(client::address(app, &head));
    let mut allowances: Vec<_> = ip
        .allowance
        .map(|allowance| (IP, allowance))
        .into_iter()
        .collect();
    let result = match ip.refused {
        Some(refused) => Err(Problem::rate_limited(refused)),
        None => accept_limited(app, &head, body, draft, &mut allowances).await,
    };
    let mut response = result.into_response();
    add_limits(app, response.headers_mut(), &allowances);
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
    let now = app.engine().now();
    let has_expired = draft.has_expired(now);
    let message = match draft.check(&app.settings().drafts, now) {
        Ok(message) => message,
        Err(errors) => {
            // A repeat gets the first answer, also when its message has expired meanwhile.
            if let (Some(request), true) = (request, has_expired && only_expired(&errors))
                && let Some(earlier) = app.engine().repeated(&request).await
            {
                return earlier.map(|sent| answer(&sent)).map_err(problem);
            }
            return Err(Problem::invalid(errors));
        }
    };
    let outcome = app.engine().send(message, request).await;
    allowances.extend(outcome.sender.map(|allowance| (SENDER, allowance)));
    outcome.result.map(|sent| answer(&sent)).map_err(problem)
}

fn only_expired(errors: &[FieldError]) -> bool {
    errors.iter().all(|error| error.pointer == "/expires_at")
}

fn problem(error: SendError) -> Problem {
    match error {
        SendError::NoProvider => Problem::no_provider(),
        SendError::RateLimited(refused) => Problem::rate_limited(refused),
        SendError::KeyConflict => {
            let detail =
                "This Idempotency-Key was used for another message. Use a new key for a new message.";
            Problem::new(Code::IdempotencyKeyReused, detail)
        }
        SendError::NotAccepted(rejection) => rejection.into(),
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

/// The value of `RateLimit-Policy`; `None` while both limits are off.
pub(crate) fn policy(quotas: &LimitSettings) -> Option<HeaderValue> {
    let policies = [(SENDER, quotas.per_sender), (IP, quotas.per_ip)];
    let policies: Vec<_> = policies
        .into_iter()
        .filter_map(|(name, quota)| Some((name, quota?)))
        .collect();
    let value = || HeaderValue::try_from(rate_limit_policy(&policies)).expect("names and numbers");
    (!policies.is_empty()).then(value)
}

fn add_limits(app: &App, headers: &mut HeaderMap, allowances: &[(PolicyName, Allowance)]) {
    if let Some(policy) = &app.0.rate_limit_policy {
        headers.insert(RATE_LIMIT_POLICY, policy.clone());
    }
    if !allowances.is_empty()
        && let Ok(value) = HeaderValue::try_from(rate_limit(allowances))
    {
        headers.insert(RATE_LIMIT, value);
    }
}
