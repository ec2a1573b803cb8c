//! The HTTP contract, route by route: a node in this process, on a real socket and a real SQLite file, with the
//! simulated providers. Time is real, but a test may advance it, so that nothing waits for a rate limit.
//!
//! The client in `world` checks what all answers have in common: a problem document for every error, JSON for everything
//! else, a request id for both. The tests check only the rest.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it stands"
)]

mod connections;
mod edge;
mod idempotency;
mod limits;
mod problems;
mod routes;
mod world;
