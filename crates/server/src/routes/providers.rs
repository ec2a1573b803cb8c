use axum::{Json, extract::State};
use engine::ProviderReport;
use serde::Serialize;

use crate::{extract::Ask, problem::Problem};

#[derive(Serialize)]
pub(crate) struct Providers {
    items: Vec<ProviderReport>,
}

/// `GET /api/providers`
pub(crate) async fn list(State(app): Ask) -> Result<Json<Providers>, Problem> {
    Ok(Json(Providers {
        items: app.engine().providers().await?,
    }))
}
