//! Pure rules that protect Trunkline and its providers from each other: how long to wait before a retry ([`backoff`]), when to
//! stop calling a provider ([`breaker`]), how much a client may send ([`rate_limit`]), how large a batch may be.
//!
//! Each rule depends on its state, its input and the time, and on nothing else, so tests can walk it step by step and the
//! simulation can replay it. This crate reads no clock, draws no random numbers, and does not sleep, lock, log or do I/O.
//!
//! - Time is `now: Duration` on a monotonic clock. All calls on one value use the same origin. If `now` goes backwards, no
//!   time has passed.
//! - Randomness is `random: u64`, uniform over all of `u64`, a fresh one for each call.
//! - State changes are returned as values.

pub mod backoff;
mod batch_size;
pub mod breaker;
pub mod jitter;
pub mod rate_limit;

pub use backoff::Backoff;
pub use batch_size::BatchSize;
pub use breaker::{Breaker, BreakerSettings};
pub use rate_limit::{Quota, RateLimiter};
