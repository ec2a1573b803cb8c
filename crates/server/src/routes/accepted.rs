use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{ConversationId, MessageId};
use serde::Serialize;

#[derive(Serialize)]
struct Accepted {
    status: &'static str,
    id: MessageId,
    /// None yet for the repeat of an imported message.
    conversation_id: Option<ConversationId>,
}

/// What is answered once a message is durable.
pub(super) fn accepted(id: MessageId, conversation_id: Option<ConversationId>) -> Response {
    let body = Accepted {
        status: "accepted",
        id,
        conversation_id,
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
