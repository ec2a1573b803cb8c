//! What follows an accept: events, webhooks, receipts, cancellations, while nodes are killed.

mod cancel;
mod event_log;
mod receipts;
mod scripted;
mod webhooks;

use crate::world::World;

/// Simulated providers that report most of what they took.
fn with_receipts(world: World) -> World {
    world
        .set("API_PROVIDER_RECEIPTS_DELIVERED_PCT", 60)
        .set("API_PROVIDER_RECEIPTS_UNDELIVERED_PCT", 20)
        .set("API_PROVIDER_RECEIPTS_DUPLICATE_PCT", 20)
        .set("API_PROVIDER_RECEIPTS_DELAY_MS", 30)
}
