//! How much a client may send: a bounded set of GCRA cells, one for each key (a sender, a client address).
//!
//! The generic cell rate algorithm needs one number for each key and no background work, and it spreads its allowance evenly
//! instead of refilling in jumps. [`gcra`] is the rule, [`RateLimiter`] the cells, [`headers`] the response headers,
//! [`client_ip`] the client's address.
//!
//! A limit holds for one node and starts full after a restart. A request is allowed or refused; it never waits.

mod cells;
pub mod client_ip;
pub mod gcra;
pub mod headers;

pub use cells::RateLimiter;
pub use gcra::{Allowance, Decision, Quota, QuotaError};
