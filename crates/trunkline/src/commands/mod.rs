//! One file for each command.

use std::sync::Arc;

use anyhow::bail;
use domain::Clock;
use store::Store;

use crate::config::is_in_memory;

pub(crate) mod backfill;
pub(crate) mod config;
pub(crate) mod conversations;
pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod listen;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod ready;
pub(crate) mod send;
pub(crate) mod serve;

/// Opens the database that a command changes.
///
/// # Errors
/// When it would end with the command.
fn open_lasting(url: &str, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    if is_in_memory(url) {
        bail!("sqlite::memory: ends with this command: set DATABASE_URL to the database of the service");
    }
    Ok(store::open(url, clock)?)
}

#[cfg(test)]
mod tests {
    use domain::SystemClock;

    use super::*;

    #[test]
    fn a_command_does_not_change_a_database_that_ends_with_it() {
        for url in ["sqlite::memory:", "sqlite::memory:\n", "sqlite://:memory:"] {
            let error = open_lasting(url, Arc::new(SystemClock::new())).err();
            let error = error.expect("it is refused").to_string();
            assert!(error.contains("ends with this command"), "{url:?}: {error}");
        }
    }
}
