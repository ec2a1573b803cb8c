use axum::{
    body::Bytes,
    extract::{Request, State},
    response::Response,
};
use domain::{Channel, Draft, FieldError, ProviderMessageId, ValidMessage, phone_channel};
use engine::Receive;
use providers::simulator::provider_name;
use serde::Deserialize;
use utoipa::ToSchema;

use super::accepted::{Accepted, accepted};
use crate::{
    App, client,
    extract::AppState,
    json::{parse_lenient, read_body},
    openapi::{enums::PhoneChannel, problems::ReceiveErrors, schemas},
    problem::Problem,
};

/// An SMS or MMS that came in.
#[derive(Deserialize, ToSchema)]
struct SmsWebhook {
    #[schema(required, value_type = schemas::Sender)]
    from: Option<String>,
    #[schema(required, value_type = schemas::PhoneNumber)]
    to: Option<String>,
    #[schema(required, value_type = PhoneChannel)]
    r#type: Option<String>,
    #[schema(required, value_type = schemas::ProviderMessageId)]
    messaging_provider_id: Option<String>,
    /// What it says.
    #[schema(required, value_type = schemas::Text)]
    body: Option<String>,
    /// What is attached; 10 at most, unless the operator set another limit.
    #[schema(value_type = Option<Vec<schemas::Attachment>>, max_items = 10)]
    attachments: Option<Vec<String>>,
    /// When it was written, in RFC 3339. One that is missing, cannot be read or lies more than a day ahead is no error: the
    /// message then counts from when it is processed.
    #[schema(example = "2026-11-21T10:00:00Z")]
    timestamp: Option<String>,
}

/// An email that came in.
#[derive(Deserialize, ToSchema)]
struct EmailWebhook {
    #[schema(required, value_type = schemas::EmailAddress)]
    from: Option<String>,
    #[schema(required, value_type = schemas::EmailAddress)]
    to: Option<String>,
    #[schema(required, value_type = schemas::ProviderMessageId)]
    xillio_id: Option<String>,
    #[schema(value_type = Option<schemas::Text>)]
    subject: Option<String>,
    /// What it says.
    #[schema(required, value_type = schemas::Text)]
    body: Option<String>,
    /// What is attached; 10 at most, unless the operator set another limit.
    #[schema(value_type = Option<Vec<schemas::Attachment>>, max_items = 10)]
    attachments: Option<Vec<String>>,
    /// When it was written, in RFC 3339. One that is missing, cannot be read or lies more than a day ahead is no error: the
    /// message then counts from when it is processed.
    #[schema(example = "2026-11-21T10:00:00Z")]
    timestamp: Option<String>,
}

/// An inbound message whose parts have been told apart, and not checked yet.
pub(super) struct Inbound {
    pub(super) draft: Draft,
    pub(super) provider_message_id: Result<ProviderMessageId, FieldError>,
}

/// Receive an SMS or MMS
///
/// A `202` means that the message is durable. A repeat, told by the provider's message id, gets the same answer and
/// changes nothing.
#[utoipa::path(
    post, path = "/api/webhooks/sms", operation_id = "receiveSms", tag = "Receive",
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
        let SmsWebhook {
            from,
            to,
            r#type,
            messaging_provider_id,
            body,
            attachments,
            timestamp,
        } = parse_lenient(body)?;
        let channel = phone_channel(r#type.as_deref()).map_err(|error| Problem::invalid(vec![error]))?;
        Ok(Inbound {
            draft: Draft {
                channel,
                from,
                to,
                subject: None,
                body,
                attachments,
                timestamp,
            },
            provider_message_id: required_id("/messaging_provider_id", messaging_provider_id),
        })
    })
    .await
}

/// Receive an email
///
/// A `202` means that the message is durable. A repeat, told by the provider's message id, gets the same answer and
/// changes nothing.
#[utoipa::path(
    post, path = "/api/webhooks/email", operation_id = "receiveEmail", tag = "Receive",
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
        let EmailWebhook {
            from,
            to,
            xillio_id,
            subject,
            body,
            attachments,
            timestamp,
        } = parse_lenient(body)?;
        Ok(Inbound {
            draft: Draft {
                channel: Channel::Email,
                from,
                to,
                subject,
                body,
                attachments,
                timestamp,
            },
            provider_message_id: required_id("/xillio_id", xillio_id),
        })
    })
    .await
}

/// Limits, reads, checks and stores an inbound message. A malformed one leaves one line in the log and nothing else:
/// its provider would only send the same again.
pub(super) async fn receive(
    app: &App,
    request: Request,
    read: impl FnOnce(&[u8]) -> Result<Inbound, Problem>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let limit = app
        .engine()
        .limits()
        .check_webhook_ip(client::address(app, &head));
    if let Some(refused) = limit.refused {
        return Err(Problem::rate_limited(refused));
    }
    if app.engine().is_overloaded() {
        return Err(Problem::overloaded());
    }
    let body = match read_body(app, &head.headers, body).await {
        Ok(body) => body,
        Err(problem) => return Err(reject(app, problem)),
    };
    let receive = check(app, &body, read).map_err(|problem| reject(app, problem))?;
    let received = app.engine().receive(receive).await?;
    Ok(accepted(received.id, received.conversation_id))
}

fn check(
    app: &App,
    body: &Bytes,
    read: impl FnOnce(&[u8]) -> Result<Inbound, Problem>,
) -> Result<Receive, Problem> {
    let Inbound {
        draft,
        provider_message_id,
    } = read(body)?;
    let channel = draft.channel;
    let (checked, provider_message_id) = match (draft.check(&app.settings().drafts), provider_message_id) {
        (Ok(checked), Ok(id)) => (checked, id),
        (checked, id) => {
            let mut errors = checked.err().unwrap_or_default();
            errors.extend(id.err());
            return Err(Problem::invalid(errors));
        }
    };
    // The parser skips over what it does not need; the payload is kept whole, and has to be text throughout.
    let payload = std::str::from_utf8(body)
        .map_err(|_| Problem::invalid(vec![FieldError::new("", "use UTF-8")]))?
        .into();
    let ValidMessage {
        from,
        to,
        content,
        timestamp,
    } = checked;
    Ok(Receive {
        provider: provider_name(channel),
        provider_message_id,
        from,
        to,
        content,
        timestamp,
        payload,
    })
}

pub(super) fn required_id(pointer: &str, id: Option<String>) -> Result<ProviderMessageId, FieldError> {
    let id = id.ok_or_else(|| FieldError::new(pointer, "is required"))?;
    id.parse().map_err(|error| FieldError::new(pointer, error))
}

/// Counts and logs what is wrong, in one line and without a word of the message.
fn reject(app: &App, problem: Problem) -> Problem {
    app.engine()
        .metrics()
        .count_inbound_rejected(problem.code.as_str());
    let errors = problem.errors.iter().filter(|_| !problem.names_unknown);
    let fields: Vec<&str> = errors.map(|error| error.pointer.as_str()).collect();
    tracing::warn!(
        reason = problem.code.as_str(),
        fields = fields.join(" "),
        "validation error: an inbound message was turned away"
    );
    problem
}
