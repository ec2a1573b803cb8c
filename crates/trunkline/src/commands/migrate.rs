use std::sync::Arc;

use clap::Command;
use domain::SystemClock;

use crate::{
    commands::open_lasting,
    config::{Config, flags},
    terminal::print,
};

pub(crate) fn command() -> Command {
    Command::new("migrate")
        .about("Bring the database's schema up to date, and exit")
        .args(flags::showing(&["database_url"]))
        .after_help(
            "Examples:\n  trunkline migrate\n  trunkline migrate --database-url postgres://localhost/trunkline",
        )
}

/// Applies what is missing, and prints it.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let store = open_lasting(&config.database_url, Arc::new(SystemClock::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let applied = runtime.block_on(store.migrate())?;
    if applied.is_empty() {
        return print("The schema is up to date.\n");
    }
    let lines: String = applied
        .iter()
        .map(|migration| format!("applied {migration}\n"))
        .collect();
    print(&lines)
}
