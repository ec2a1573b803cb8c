use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use domain::MessageId;
use serde::Serialize;
use store::Canceled;
use utoipa::ToSchema;

use crate::{
    extract::{self, AppState, PathId},
    json::read_nothing,
    openapi::{problems::CancelErrors, schemas},
    problem::{Code, Problem},
    telemetry,
};

/// A canceled message.
#[derive(Serialize, ToSchema)]
struct CanceledResponse {
    /// Always `canceled`.
    #[schema(pattern = "^canceled$", example = "canceled")]
    status: &'static str,
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
}

/// Cancel a message
///
/// A `200` means that no provider has the message or gets it. It can be repeated. The request needs no body.
#[utoipa::path(
    post, path = "/api/messages/{id}/cancel", operation_id = "cancelMessage", tag = "Cancel",
    params(("id" = schemas::MessageId, Path, description = "The message's id")),
    responses((status = 200, body = CanceledResponse, description = "Canceled, now or before."), CancelErrors),
)]
pub(crate) async fn cancel(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = extract::id(id, "message")?;
    telemetry::record_message(id, None);
    read_nothing(&app, request).await?;
    match app.engine().cancel(id).await.map_err(Problem::of_cancel)? {
        Canceled::Canceled { .. } => {
            let body = CanceledResponse {
                status: "canceled",
                id,
            };
            Ok(Json(body).into_response())
        }
        Canceled::NotFound => Err(Problem::not_found("message")),
        Canceled::NotCancelable => {
            let detail = "A provider has or may have this message, is being called with it, or the message is final: GET \
                          /api/messages/{id} shows it. If it is pending, try again after the call.";
            Err(Problem::new(Code::NotCancelable, detail))
        }
    }
}
