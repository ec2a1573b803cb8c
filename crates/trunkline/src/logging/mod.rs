mod json;

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::config::LogFormat;

/// Sends logs to the standard error, one line each: for people on a terminal, else as JSON.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter: Targets = filter
        .parse()
        .context("API_LOG: use a level or a list such as info,trunkline_store=debug")?;
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(io::stderr);
    if json {
        let lines = lines.event_format(json::Line).fmt_fields(json::Members);
        registry().with(filter).with(lines).init();
    } else {
        let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
        registry().with(filter).with(lines).init();
    }
    Ok(())
}
