use std::sync::Arc;

use domain::SystemClock;

use crate::config::Config;

/// Brings the schema up to date, and says what that took.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let store = store::open(&config.database_url, Arc::new(SystemClock::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let applied = runtime.block_on(store.migrate())?;
    if applied.is_empty() {
        println!("The schema is up to date.");
    }
    for migration in applied {
        println!("applied {migration}");
    }
    Ok(())
}
