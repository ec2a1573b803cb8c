use std::sync::Arc;

use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use domain::SystemClock;
use engine::{BackfillProgress, retry_transient};
use serde::Serialize;

use crate::{
    commands::open_lasting,
    config::{Config, flags},
    terminal::{ProgressBar, grouped, print, print_json},
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
            "It can be stopped and run again at any time. On PostgreSQL it can run beside the service and beside another\n\
             backfill; on SQLite, stop the service first. Use the same API_DEFAULT_REGION as the service.\n\n\
             Examples:\n  trunkline backfill\n  trunkline backfill --database-url postgres://localhost/trunkline --json",
        )
}

/// The result for scripts.
#[derive(Serialize)]
struct BackfillSummary {
    assigned: u64,
    conversations: u64,
    skipped: u64,
}

/// Fails if a message has addresses that cannot be read.
pub(crate) fn run(config: &Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let store = open_lasting(&config.database_url, Arc::new(SystemClock::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut progress = ProgressBar::of("backfilling");
    let report = runtime.block_on(async {
        retry_transient(async || store.migrate().await).await?;
        let show = |BackfillProgress { done, total }| progress.show(done, Some(total), done);
        engine::backfill(store.as_ref(), config.server.drafts.default_region, show).await
    });
    progress.clear();
    let report = report.map_err(|error| {
        anyhow::Error::new(error).context("the backfill stopped: run it again, and it continues")
    })?;
    let (assigned, conversations) = (report.assigned, report.conversations);
    if arguments.get_flag("json") {
        print_json(&BackfillSummary {
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
        "{} messages have no conversation: their addresses cannot be read",
        grouped(report.skipped)
    )
}
