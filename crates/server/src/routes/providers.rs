use axum::{Json, extract::State};
use domain::{Channel, ProviderName, Timestamp};
use engine::{BreakerReport, BreakerState, CountsReport, ProviderReport, QueueReport};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    extract::AppState,
    openapi::{enums, problems::LookupErrors, schemas},
    problem::Problem,
};

/// All providers, sorted by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Providers {
    items: Vec<Provider>,
}

/// A provider, seen from this node.
#[derive(Serialize, ToSchema)]
struct Provider {
    #[schema(value_type = schemas::ProviderName)]
    name: ProviderName,
    #[schema(value_type = Vec<enums::Channel>)]
    channels: Vec<Channel>,
    breaker: Breaker,
    queue: Queue,
    counts: Counts,
}

/// The provider's breaker on this node.
#[derive(Serialize, ToSchema)]
struct Breaker {
    state: enums::BreakerState,
    /// Since the last success.
    #[schema(value_type = schemas::Count)]
    consecutive_failures: u32,
    /// When the state last changed; null if it never did.
    #[schema(required, value_type = Option<schemas::Timestamp>)]
    last_transition_at: Option<Timestamp>,
    /// Time until the breaker lets probes through.
    #[schema(value_type = schemas::Count)]
    cooldown_remaining_ms: u64,
}

/// The provider's outbox entries, of all nodes.
#[derive(Serialize, ToSchema)]
struct Queue {
    /// Pending and not leased.
    #[schema(value_type = schemas::Count)]
    waiting: u64,
    /// Leased by a node.
    #[schema(value_type = schemas::Count)]
    leased: u64,
    /// Dead letters.
    #[schema(value_type = schemas::Count)]
    dead: u64,
    /// Whether counting stopped at 10,000 pending or dead ones.
    capped: bool,
}

/// Attempts by outcome, on this node since it started.
#[derive(Serialize, ToSchema)]
struct Counts {
    #[schema(value_type = schemas::Count)]
    success: u64,
    #[schema(value_type = schemas::Count)]
    rate_limited: u64,
    #[schema(value_type = schemas::Count)]
    error: u64,
    #[schema(value_type = schemas::Count)]
    rejected: u64,
    #[schema(value_type = schemas::Count)]
    timeout: u64,
    #[schema(value_type = schemas::Count)]
    unknown: u64,
}

impl Provider {
    fn of(report: ProviderReport) -> Self {
        let ProviderReport {
            name,
            channels,
            breaker,
            queue,
            counts,
        } = report;
        let QueueReport {
            waiting,
            leased,
            dead,
            capped,
        } = queue;
        let CountsReport {
            success,
            rate_limited,
            error,
            rejected,
            timeout,
            unknown,
        } = counts;
        Self {
            name,
            channels,
            breaker: Breaker::of(breaker),
            queue: Queue {
                waiting,
                leased,
                dead,
                capped,
            },
            counts: Counts {
                success,
                rate_limited,
                error,
                rejected,
                timeout,
                unknown,
            },
        }
    }
}

impl Breaker {
    fn of(report: BreakerReport) -> Self {
        Self {
            state: match report.state {
                BreakerState::Closed => enums::BreakerState::Closed,
                BreakerState::Open => enums::BreakerState::Open,
                BreakerState::HalfOpen => enums::BreakerState::HalfOpen,
            },
            consecutive_failures: report.consecutive_failures,
            last_transition_at: report.last_transition_at,
            cooldown_remaining_ms: u64::try_from(report.cooldown_remaining.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// List the providers
///
/// Breakers and counts are this node's; queues are those of all nodes.
#[utoipa::path(
    get, path = "/api/providers", operation_id = "listProviders", tag = "Providers",
    responses((status = 200, body = Providers, description = "All providers."), LookupErrors),
)]
pub(crate) async fn list(State(app): AppState) -> Result<Json<Providers>, Problem> {
    let reports = app.engine().providers().await?;
    let items = reports.into_iter().map(Provider::of).collect();
    Ok(Json(Providers { items }))
}
