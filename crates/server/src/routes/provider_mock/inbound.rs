use axum::{
    extract::{Request, State},
    response::Response,
};
use domain::{Channel, MessageId, Origin};

use crate::{
    extract::AppState,
    json::parse,
    lenient,
    openapi::{enums, problems::InjectErrors, schemas},
    problem::Problem,
    routes::{
        accepted::Accepted,
        message_body::{message_body, provider_message_id},
        webhooks::{Inbound, InboundParams, receive},
    },
};

message_body! {
    /// A message that a simulated provider delivers.
    MockInbound {
        #[schema(required, value_type = enums::Channel)]
        channel,
        /// If given, the same as `channel`.
        #[schema(value_type = Option<enums::Channel>)]
        r#type,
        #[schema(required, value_type = schemas::Address)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        from,
        #[schema(required, value_type = schemas::Address)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        to,
        /// May be empty or missing.
        #[schema(value_type = Option<schemas::Text>)]
        body,
        /// Made up if missing.
        #[schema(value_type = Option<schemas::ProviderMessageId>)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        provider_message_id,
    }
}

/// Inject an inbound message
///
/// A `202` means that the message is durable. A repeat (same provider, message id and participants) gets the same answer and
/// changes nothing. This route exists only while a provider is simulated.
#[utoipa::path(
    post, path = "/api/provider/mock/inbound", operation_id = "injectInbound", tag = "Simulated providers",
    params(InboundParams),
    request_body(
        content = MockInbound,
        examples(
            ("sms" = (value = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi, who is this?"}))),
        ),
    ),
    responses((status = 202, body = Accepted, description = "Stored, now or before."), InjectErrors),
)]
pub(crate) async fn inject(State(app): AppState, request: Request) -> Result<Response, Problem> {
    // Real providers always give an id; here it is optional.
    let new_id = || format!("simulated-{}", MessageId::mint(app.engine().now(), &app.0.ids));
    receive(&app, request, |body| {
        let mut body: MockInbound = parse(body)?;
        let id = body.provider_message_id.take().unwrap_or_else(new_id);
        Ok(Inbound {
            provider_message_id: provider_message_id("/provider_message_id", Some(id)),
            draft: body.draft(Origin::Provider, Channel::ALL)?,
        })
    })
    .await
}
