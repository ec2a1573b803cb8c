//! The rules that keep Trunkline and its providers from hurting each other: how long to wait before a retry
//! ([`backoff`]), when to stop calling a provider ([`breaker`]), and how much a client may send ([`rate_limit`]).
//!
//! They live apart from the engine because they are hard to get right in passing and easy to get right alone:
//! every rule here is a pure function of its state, its input and the time, so a test can walk it step by step
//! and the simulation can replay it from a seed.
//!
//! What this crate never does: read a clock, draw a random number, sleep, lock, log, or touch the network.
//!
//! - Time is `now: Duration`, measured on a monotonic clock from any fixed origin. All calls on one value use the
//!   same origin. A `now` that goes backwards is taken as no time having passed.
//! - Randomness is `random: u64`, uniform over all of `u64`, a fresh one for each call.
//! - Nobody is told anything behind the caller's back: state changes are returned as values.

pub mod backoff;
mod batch_size;
pub mod breaker;
mod jitter;
pub mod rate_limit;

pub use backoff::Backoff;
pub use batch_size::BatchSize;
pub use breaker::{Breaker, BreakerSettings};
pub use rate_limit::{Quota, RateLimiter};
