use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{ConversationId, MessageId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{openapi::schemas, telemetry};

/// A durable message.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
    /// Null for the repeat of an imported message that has no conversation yet.
    #[schema(value_type = Option<schemas::ConversationId>)]
    conversation_id: Option<ConversationId>,
}

/// The answer once a message is durable. The log gets the message's id beside the request's.
pub(super) fn accepted(id: MessageId, conversation_id: Option<ConversationId>) -> Response {
    telemetry::record_message(id, conversation_id);
    let body = Accepted {
        status: "accepted",
        id,
        conversation_id,
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
