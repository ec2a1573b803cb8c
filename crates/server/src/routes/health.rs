use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{extract::AppState, openapi::problems::ReadinessErrors, problem::Problem};

#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(pattern = "^(ok|ready)$", example = "ok")]
    status: &'static str,
}

/// Is the process alive?
///
/// Does not touch the database: an outage of it is no reason to restart the node. Needs no key.
#[utoipa::path(
    get, path = "/healthz", operation_id = "isAlive", tag = "Operate", security(()),
    responses((status = 200, body = Health, description = "The process is alive.")),
)]
pub(crate) async fn healthz() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// Would a send be stored?
///
/// 503 while the database is away, read-only, full or locked, while a standby that commits wait for does not answer, and
/// while the node shuts down. Needs no key.
#[utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "Operate", security(()),
    responses((status = 200, body = Health, description = "A send would be stored."), ReadinessErrors),
)]
pub(crate) async fn readyz(State(app): AppState) -> Result<Response, Problem> {
    if *app.0.draining.borrow() {
        return Err(Problem::draining());
    }
    app.engine().store().probe().await?;
    Ok(Json(Health { status: "ready" }).into_response())
}
