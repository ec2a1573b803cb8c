use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{MatchedPath, Query, Request, State},
    http::{Method, Uri},
    response::Response,
};
use domain::{Attachments, Channel, Draft, FieldError, NewMessage, Origin, ProviderMessageId, ProviderName};
use engine::InboundProviderError;
use utoipa::IntoParams;

use super::{
    accepted::{Accepted, accepted},
    message_body::{message_body, provider_message_id},
};
use crate::{
    App, client,
    extract::AppState,
    json::{parse_lenient, read_body},
    lenient,
    openapi::{
        enums::{EmailChannel, PhoneChannel},
        problems::ReceiveErrors,
        schemas,
    },
    problem::{Code, Problem},
};

message_body! {
    /// An SMS or MMS from a provider. Fields that are not listed are ignored.
    SmsWebhook {
        /// If given, the same as `type`.
        #[schema(value_type = Option<PhoneChannel>)]
        channel,
        #[schema(required, value_type = PhoneChannel)]
        r#type,
        #[schema(required, value_type = schemas::Sender)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        from,
        #[schema(required, value_type = schemas::PhoneNumber)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        to,
        /// A repeat with the same participants is stored once.
        #[schema(required, value_type = schemas::ProviderMessageId)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        messaging_provider_id,
        /// May be empty or missing.
        #[schema(value_type = Option<schemas::Text>)]
        body,
    }
}

message_body! {
    /// An email from a provider. Fields that are not listed are ignored.
    EmailWebhook {
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
        /// A repeat with the same participants is stored once.
        #[schema(required, value_type = schemas::ProviderMessageId)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        xillio_id,
        /// May be empty or missing.
        #[schema(value_type = Option<schemas::Text>)]
        body,
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `provider` reads")]
pub(super) struct InboundParams {
    /// The configured provider that brings the message. Without it, the first one that serves the channel.
    #[param(value_type = Option<schemas::ProviderName>)]
    provider: Option<String>,
}

/// An inbound message that is parsed and not checked.
pub(super) struct Inbound {
    pub(super) draft: Draft,
    pub(super) provider_message_id: Result<ProviderMessageId, FieldError>,
}

/// Receive an SMS or MMS
///
/// A `202` means that the message is durable. A repeat (same provider, message id and participants) gets the same answer and
/// changes nothing.
#[utoipa::path(
    post, path = "/api/webhooks/sms", operation_id = "receiveSms", tag = "Receive",
    params(InboundParams),
    request_body(
        content = SmsWebhook,
        examples(
            ("sms" = (value = json!({"from": "+18045551234", "to": "+12016661234", "type": "sms", "messaging_provider_id": "message-1", "body": "Hi, who is this?"}))),
        ),
    ),
    responses((status = 202, body = Accepted, description = "Stored, now or before."), ReceiveErrors),
)]
pub(crate) async fn sms(State(app): AppState, request: Request) -> Result<Response, Problem> {
    receive(&app, request, |body| {
        let mut body: SmsWebhook = parse_lenient(body)?;
        Ok(Inbound {
            provider_message_id: provider_message_id(
                "/messaging_provider_id",
                body.messaging_provider_id.take(),
            ),
            draft: body.draft(Origin::Provider, &[Channel::Sms, Channel::Mms])?,
        })
    })
    .await
}

/// Receive an email
///
/// A `202` means that the message is durable. A repeat (same provider, message id and participants) gets the same answer and
/// changes nothing.
#[utoipa::path(
    post, path = "/api/webhooks/email", operation_id = "receiveEmail", tag = "Receive",
    params(InboundParams),
    request_body(
        content = EmailWebhook,
        examples(
            ("email" = (value = json!({"from": "customer@example.com", "to": "shop@example.com", "xillio_id": "message-2", "subject": "Re: Your order", "body": "<p>Thank you!</p>", "attachments": ["https://example.com/photo.png"]}))),
        ),
    ),
    responses((status = 202, body = Accepted, description = "Stored, now or before."), ReceiveErrors),
)]
pub(crate) async fn email(State(app): AppState, request: Request) -> Result<Response, Problem> {
    receive(&app, request, |body| {
        let mut body: EmailWebhook = parse_lenient(body)?;
        Ok(Inbound {
            provider_message_id: provider_message_id("/xillio_id", body.xillio_id.take()),
            draft: body.draft(Origin::Provider, &[Channel::Email])?,
        })
    })
    .await
}

/// The routes that take inbound messages and receipts.
const PATHS: [&str; 5] = [
    "/api/webhooks/sms",
    "/api/webhooks/email",
    "/api/webhooks/receipts",
    "/api/provider/mock/inbound",
    "/api/provider/mock/receipt",
];

/// Why an inbound message or receipt is refused.
pub(crate) const REJECTIONS: [Code; 13] = [
    Code::Invalid,
    Code::Unauthorized,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::RateLimited,
    Code::Misdirected,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::NoProvider,
    Code::Overloaded,
    Code::StoreUnavailable,
    Code::OutcomeUnknown,
];

/// Whether a request brings an inbound message or receipt.
pub(crate) fn is_inbound(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    request.method() == Method::POST && route.is_some_and(|route| PATHS.contains(&route))
}

/// Counts the answer if it is a refusal.
pub(crate) fn count_refusal(app: &App, answer: &Response) {
    if let Some(problem) = answer.extensions().get::<Problem>() {
        app.engine()
            .metrics()
            .count_inbound_rejected(problem.code.as_str());
    }
}

/// Limits, reads, checks and stores an inbound message. A malformed one is logged once and not stored: its
/// provider would only repeat it.
pub(super) async fn receive(
    app: &App,
    request: Request,
    read: impl FnOnce(&[u8]) -> Result<Inbound, Problem>,
) -> Result<Response, Problem> {
    if app.engine().is_overloaded() {
        return Err(Problem::overloaded());
    }
    let uri = request.uri().clone();
    let body = read_limited(app, request).await?;
    let (message, provider_message_id) = check(app, &body, read).map_err(reject)?;
    let provider = provider(app, message.content.channel, &uri)?;
    // The parser skips fields it does not need, but the payload is stored as text.
    let payload = std::str::from_utf8(&body)
        .map_err(|_| reject(Problem::invalid(vec![FieldError::new("", "use UTF-8")])))?;
    let receiving = app
        .engine()
        .receive(message, provider, provider_message_id, payload.into());
    let received = receiving.await?;
    Ok(accepted(received.id, received.conversation_id))
}

/// Checks the limit of the address, and reads the body.
pub(super) async fn read_limited(app: &App, request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    let limit = app
        .engine()
        .limits()
        .check_webhook_ip(client::address(app, &head));
    if let Some(refused) = limit.refused {
        return Err(Problem::rate_limited(refused));
    }
    read_body(app, &head.headers, body).await.map_err(reject)
}

fn check(
    app: &App,
    body: &[u8],
    read: impl FnOnce(&[u8]) -> Result<Inbound, Problem>,
) -> Result<(NewMessage, ProviderMessageId), Problem> {
    let Inbound {
        mut draft,
        provider_message_id,
    } = read(body)?;
    leave_out_unusable_attachments(&mut draft);
    let checked = draft.check(&app.settings().drafts, app.engine().now());
    match (checked, provider_message_id) {
        (Ok(message), Ok(id)) => Ok((message, id)),
        (checked, id) => {
            let mut errors = checked.err().unwrap_or_default();
            errors.extend(id.err());
            Err(Problem::invalid(errors))
        }
    }
}

/// `cid:` and `data:` URLs, among others, are of no use to a reader of the message, which is no reason to lose it.
fn leave_out_unusable_attachments(draft: &mut Draft) {
    let Some(attachments) = &mut draft.attachments else {
        return;
    };
    let given = attachments.len();
    attachments.retain(|url| Attachments::is_taken(url));
    let left_out = given - attachments.len();
    if left_out > 0 {
        tracing::warn!(
            left_out,
            "attachments of an inbound message are no http URLs: it is stored without them, and its payload keeps them"
        );
    }
}

/// The provider that the query names, or else the first that serves the channel.
fn provider(app: &App, channel: Channel, uri: &Uri) -> Result<ProviderName, Problem> {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(uri);
    let query = query.unwrap_or_default();
    let named = query.get("provider").filter(|name| !name.is_empty());
    app.engine()
        .inbound_provider(channel, named.map(String::as_str))
        .map_err(|error| match error {
            InboundProviderError::NoProvider => Problem::no_provider(),
            unknown @ InboundProviderError::Unknown { .. } => {
                reject(Problem::invalid(vec![FieldError::new("provider", unknown)]))
            }
        })
}

/// Logs a refusal, in one line and without a word of the message.
pub(super) fn reject(problem: Problem) -> Problem {
    let reason = problem.code.as_str();
    // A pointer that names an unknown field repeats what was sent.
    let errors = problem.errors.iter().filter(|_| !problem.names_unknown);
    let fields: Vec<&str> = errors.map(|error| error.pointer.as_str()).collect();
    tracing::warn!(
        reason,
        fields = fields.join(" "),
        "validation error: an inbound message or receipt is refused and not stored"
    );
    problem
}
