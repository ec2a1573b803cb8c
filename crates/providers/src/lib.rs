//! The port that every provider implements, the routes that choose providers for a message, and one folder for each kind
//! of provider. The folders have the same parts: settings, if there are any, `send` (one call), `classify` (what a response means).
//!
//! A provider makes one call and says how it ended. The engine decides when to call, how often and with which deadline.

mod ledger;
mod pattern;
mod port;
mod routes;
pub mod scripted;
pub mod simulator;

pub use ledger::LedgerError;
pub use pattern::{EmptyPattern, Pattern};
pub use port::{Call, Provider, SendResult};
pub use routes::{Route, RouteError, RouteSettings, Routes, SameName};
