//! Messages without faults from outside, across restarts.

mod conversation;
mod kill;
mod metrics;
mod mission;
mod privacy;
mod repeats;
mod routing;
mod start;
mod traces;
