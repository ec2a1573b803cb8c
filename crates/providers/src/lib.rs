//! Who carries messages to people: the port every provider implements, the routes that say which provider
//! serves which channel, and the simulator: fake providers that behave badly on demand.
//!
//! A provider makes one call and says how it ended. It never retries, waits for its turn or touches the
//! store: when to call, how often and with which deadline is the engine's business.

mod port;
mod routes;
pub mod simulator;

pub use port::{Call, Provider, SendResult};
pub use routes::{Routes, RoutesError};
