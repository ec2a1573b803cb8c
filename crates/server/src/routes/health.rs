use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{extract::AppState, openapi::problems::ReadinessErrors, problem::Problem};

/// How the node is.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(pattern = "^(ok|ready)$", example = "ok")]
    status: &'static str,
}

/// Is the process alive?
///
/// Never touches the store: a database that is away is no reason to restart the node. Wants no key.
#[utoipa::path(
    get, path = "/healthz", operation_id = "isAlive", tag = "Operate", security(()),
    responses((status = 200, body = Health, description = "It is.")),
)]
pub(crate) async fn healthz() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// Would a send be stored?
///
/// Not while the database is away, read-only or full, a standby that commits wait for is silent, or the node is shutting down.
/// Wants no key.
#[utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "Operate", security(()),
    responses((status = 200, body = Health, description = "It would."), ReadinessErrors),
)]
pub(crate) async fn readyz(State(app): AppState) -> Result<Response, Problem> {
    if *app.0.draining.borrow() {
        return Err(Problem::draining());
    }
    app.engine().store().probe().await?;
    Ok(Json(Health { status: "ready" }).into_response())
}
