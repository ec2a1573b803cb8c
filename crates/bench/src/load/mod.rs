//! The load generator: cheap in CPU, because it shares the machine with what it measures, and strict in what it counts.
//!
//! Closed loop: each connection sends its next request when the last one is answered; this finds the highest rate.
//! Open loop: requests are due at fixed moments, whatever the server does, and latency counts from the moment a request
//! was *due*. A server that stalls is charged for everybody who would have come meanwhile; a client that only measures
//! from when it got around to sending would leave them out (coordinated omission).
//!
//! It never pipelines, and it never counts anything but a `202` as accepted.

mod connection;
mod drive;
mod request;
mod schedule;
mod tally;

pub(crate) use connection::{Authority, Connection};
pub(crate) use drive::{Plan, drive};
pub(crate) use request::Shape;
pub(crate) use schedule::Pace;
pub(crate) use tally::Tally;
