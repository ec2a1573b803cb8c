use std::sync::Arc;

use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use domain::SystemClock;
use engine::{BackfillProgress, retry_transient};
use serde::Serialize;

use crate::{
    config::{Config, flags},
    terminal::{Progress, grouped, print, print_json},
};

pub(crate) fn command() -> Command {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the summary as JSON");
    Command::new("backfill")
        .about("Give a conversation to every message that has none, such as imported ones")
        .arg(json)
        .args(flags::showing(&["database_url", "default_region"]))
        .after_help(
            "It may be stopped at any point and run again, and on PostgreSQL it may run beside the service and beside\n\
             another one of its kind. Use the same API_DEFAULT_REGION as the service. On SQLite the service must not\n\
             be running.\n\n\
             Examples:\n  trunkline backfill\n  trunkline backfill --database-url postgres://localhost/trunkline --json",
        )
}

/// What a backfill came to, for scripts.
#[derive(Serialize)]
struct Summary {
    assigned: u64,
    conversations: u64,
    skipped: u64,
}

/// Gives conversations, and fails when there is a message that cannot have one.
pub(crate) fn run(config: &Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let store = store::open(&config.database_url, Arc::new(SystemClock::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut progress = Progress::of("backfilling");
    let report = runtime.block_on(async {
        retry_transient(async || store.migrate().await).await?;
        let show = |BackfillProgress { done, total }| progress.show(done, Some(total), done);
        engine::backfill(store.as_ref(), config.server.drafts.default_region, show).await
    });
    progress.clear();
    let report = report.map_err(|error| {
        anyhow::Error::new(error).context("stopped; what was done stays, and running it again does the rest")
    })?;
    let (assigned, conversations) = (report.assigned, report.conversations);
    if arguments.get_flag("json") {
        print_json(&Summary {
            assigned,
            conversations,
            skipped: report.skipped,
        })?;
    } else {
        print(&format!(
            "{} messages joined their conversations, {} of which are new.\n",
            grouped(assigned),
            grouped(conversations)
        ))?;
    }
    if report.skipped == 0 {
        return Ok(());
    }
    for id in &report.skipped_ids {
        eprintln!("message {id}: its addresses cannot be read");
    }
    bail!(
        "{} messages have no conversation still, because their addresses cannot be read",
        grouped(report.skipped)
    )
}
