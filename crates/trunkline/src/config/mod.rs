//! Settings: each is described once (`settings.rs`). From that follow the typed value, the names in the file, the
//! environment and on the command line, the range, the help and docs/configuration.md.

#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod claims;
pub(crate) mod flags;
#[cfg(test)]
mod properties;
mod resolved;
mod settings;
mod tables;
mod test_server;
mod value_types;
mod values;

pub(crate) use resolved::Resolved;
pub(crate) use settings::{SETTINGS, Setting};
pub(crate) use tables::{EXAMPLE, OWN_SETTINGS};
pub(crate) use test_server::is_in_memory;
pub(crate) use values::{Config, LogFormat};
