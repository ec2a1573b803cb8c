use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{extract::Ask, problem::Problem};

/// What `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// `GET /healthz`: the process is alive. Never touches the store: a database that is away is no reason to restart us.
pub(crate) async fn healthz() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// `GET /readyz`: requests can be served.
pub(crate) async fn readyz(State(app): Ask) -> Result<Response, Problem> {
    if *app.0.draining.borrow() {
        return Err(Problem::draining());
    }
    app.engine().store().ping().await?;
    Ok(Json(Health { status: "ready" }).into_response())
}

/// `GET /metrics`. The queues are looked at anew; while the store is away they show what they held before.
pub(crate) async fn metrics(State(app): Ask) -> Result<Response, Problem> {
    if let Ok(depths) = app.engine().store().queue_depths().await {
        app.engine().metrics().set_queue_depths(&depths);
    }
    let text = app.engine().metrics().render().map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
