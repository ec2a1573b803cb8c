use axum::{Json, extract::State};
use engine::ProviderReport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    extract::AppState,
    openapi::{enums, problems::LookupErrors, schemas},
    problem::Problem,
};

/// All providers, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Providers {
    #[schema(value_type = Vec<Provider>)]
    items: Vec<ProviderReport>,
}

/// How one provider fares.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes `engine::ProviderReport`")]
struct Provider {
    #[schema(value_type = schemas::ProviderName)]
    name: String,
    /// The channels it serves.
    channels: Vec<enums::Channel>,
    breaker: Breaker,
    queue: Queue,
    counts: Counts,
}

/// Whether the provider is called at the moment, by this node.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes `engine::BreakerReport`")]
struct Breaker {
    state: enums::BreakerState,
    /// Failures since the last success.
    #[schema(value_type = schemas::Count)]
    consecutive_failures: u32,
    /// When the state last changed; null if it never did.
    #[schema(required, value_type = Option<schemas::Timestamp>)]
    last_transition_at: Option<String>,
    /// Until it is probed whether the provider is back.
    #[schema(value_type = schemas::Count)]
    cooldown_remaining_ms: u64,
}

/// What waits for the provider, on all nodes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `engine::ProviderReport` holds")]
struct Queue {
    /// Pending and held by nobody.
    #[schema(value_type = schemas::Count)]
    waiting: u64,
    /// Held by a node.
    #[schema(value_type = schemas::Count)]
    leased: u64,
    /// Dead letters.
    #[schema(value_type = schemas::Count)]
    dead: u64,
    /// Whether counting stopped at 10,000 pending or dead ones.
    capped: bool,
}

/// Attempts by outcome, on this node since it started.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `engine::ProviderReport` holds")]
struct Counts {
    #[schema(value_type = schemas::Count)]
    success: u64,
    #[schema(value_type = schemas::Count)]
    rate_limited: u64,
    #[schema(value_type = schemas::Count)]
    error: u64,
    #[schema(value_type = schemas::Count)]
    timeout: u64,
    #[schema(value_type = schemas::Count)]
    unknown: u64,
}

/// How providers fare
///
/// Breakers and counts are this node's; queues are those of all nodes.
#[utoipa::path(
    get, path = "/api/providers", operation_id = "listProviders", tag = "Providers",
    responses((status = 200, body = Providers, description = "All of them."), LookupErrors),
)]
pub(crate) async fn list(State(app): AppState) -> Result<Json<Providers>, Problem> {
    Ok(Json(Providers {
        items: app.engine().providers().await?,
    }))
}
