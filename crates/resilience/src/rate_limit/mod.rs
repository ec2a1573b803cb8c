//! How much a client may send: a bounded set of GCRA cells, one for each key (a sender, a client address).
//!
//! The generic cell rate algorithm needs one number a key and no background work, and spreads what it allows
//! evenly instead of refilling in jumps. [`gcra`] is the rule, [`RateLimiter`] the cells, [`headers`] how the
//! client is told, [`client_ip`] who the client is.
//!
//! Limits hold for one node and are forgotten by a restart. Nothing here waits or queues: a request is allowed or
//! refused, and a refusal leaves no trace in its cell.

mod cells;
pub mod client_ip;
pub mod gcra;
pub mod headers;

pub use cells::RateLimiter;
pub use gcra::{Allowance, Decision, Quota, QuotaError};
