use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{extract::AppState, openapi::problems::ReadinessErrors, problem::Problem};

/// What `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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

/// Metrics for Prometheus
///
/// Their names begin with `trunkline_`. The queues are looked at anew; while the store is away they show what they held
/// before.
#[utoipa::path(
    get, path = "/metrics", operation_id = "measure", tag = "Operate",
    responses((
        status = 200, description = "OpenMetrics text.", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )),
)]
pub(crate) async fn metrics(State(app): AppState) -> Result<Response, Problem> {
    // The queues show what they held before while they cannot be counted.
    let _ = app.engine().count_queues().await;
    let text = app.engine().metrics().render().map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
