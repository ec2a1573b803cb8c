//! What happens to messages when nothing but the service itself is in the way, or stops.

mod conversation;
mod kill;
mod metrics;
mod mission;
mod privacy;
mod repeats;
mod routing;
mod start;
mod traces;
