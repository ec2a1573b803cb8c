use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{ConversationId, MessageId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{openapi::schemas, telemetry};

/// A message that is durable.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
    /// None yet for the repeat of an imported message.
    #[schema(value_type = Option<schemas::ConversationId>)]
    conversation_id: Option<ConversationId>,
}

/// What is answered once a message is durable. Leads from the request's id to the message's in the log.
pub(super) fn accepted(id: MessageId, conversation_id: Option<ConversationId>) -> Response {
    telemetry::record_message(id, conversation_id);
    let body = Accepted {
        status: "accepted",
        id,
        conversation_id,
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
