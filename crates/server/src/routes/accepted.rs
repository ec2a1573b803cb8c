use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{ConversationId, MessageId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::values;

/// A message that is durable.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
    #[schema(value_type = values::MessageId)]
    id: MessageId,
    #[schema(value_type = values::ConversationId)]
    conversation_id: ConversationId,
}

/// What is answered once a message is durable.
pub(super) fn accepted(id: MessageId, conversation_id: ConversationId) -> Response {
    let body = Accepted {
        status: "accepted",
        id,
        conversation_id,
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
