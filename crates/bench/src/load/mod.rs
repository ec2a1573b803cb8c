//! The load generator. It uses little CPU, because it shares the machine with the server, and counts only `202` as accepted.
//!
//! Closed loop: each connection sends its next request after the last answer; this finds the highest rate.
//! Open loop: requests are due at fixed moments, and latency counts from the moment a request was *due*. A server that stalls is
//! charged for all requests that would have come meanwhile. Measuring from the moment of sending would omit them
//! (coordinated omission).
//!
//! It never pipelines.

mod connection;
mod drive;
mod request;
mod schedule;
mod streams;
mod tally;

pub(crate) use connection::{Authority, Connection};
pub(crate) use drive::{Plan, drive};
pub(crate) use request::Shape;
pub(crate) use schedule::Pace;
pub(crate) use streams::Streams;
pub(crate) use tally::Tally;
