//! Faults around the service, alone and together, and hostile clients.

mod balancers;
mod failover;
mod full_disk;
mod hostile_input;
mod keep_alive;
mod many_connections;
mod node_frozen;
mod nodes_killed;
mod overload;
mod postgres_restarts;
mod shutdown;
mod slow_clients;
mod slow_database;
mod slow_readers;
mod soak;
mod storm;
mod unequal_nodes;
mod unready;
mod watch;

use std::env;

use crate::world::World;

/// A number from the environment that sets the size of a run.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}, which is no whole number")))
}

/// Providers that fail in every way, and settings that react and retry fast.
pub(crate) fn with_misbehaving_providers(world: World) -> World {
    world
        .set("API_PROVIDER_ERROR_PCT", 8)
        .set("API_PROVIDER_TIMEOUT_PCT", 4)
        .set("API_PROVIDER_RATELIMIT_PCT", 8)
        .set("API_PROVIDER_LATENCY_MS", 10)
        .set("API_PROVIDER_RETRY_AFTER_MS", 100)
        .set("API_BREAKER_OPEN_SECS", 1)
        .set("API_BREAKER_MAX_OPEN_SECS", 1)
        .set("API_WORKER_POLL_MS", 50)
        .set("API_WORKER_CALL_TIMEOUT_MS", 300)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 2)
        .set("API_WORKER_BACKOFF_BASE_MS", 20)
        .set("API_WORKER_BACKOFF_MAX_MS", 500)
        // No message runs out of attempts, so a message that is not dispatched is lost.
        .set("API_WORKER_MAX_ATTEMPTS", 50)
}
