mod json;

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// Logs to standard error, one line for each event; [`LogFormat::Auto`] is pretty on a terminal and JSON elsewhere.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter =
        targets(filter).context("API_LOG: use a level or a list such as info,trunkline_store=debug")?;
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(io::stderr);
    if json {
        let lines = lines.event_format(json::JsonLine).fmt_fields(json::Members);
        registry().with(filter).with(lines).init();
    } else {
        let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
        registry().with(filter).with(lines).init();
    }
    Ok(())
}

/// Parses a list of `LEVEL` and `TARGET=LEVEL`. The library's own parser reads anything else as `error`, which would hide
/// warnings.
fn targets(list: &str) -> anyhow::Result<Targets> {
    let mut targets = Targets::new().with_default(LevelFilter::ERROR);
    let items: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect();
    if items.is_empty() {
        bail!("the list is empty");
    }
    for item in items {
        let (target, word) = match item.split_once('=') {
            Some((target, word)) => (Some(target.trim()), word.trim()),
            None => (None, item),
        };
        let level = Some(word)
            .filter(|word| !word.is_empty())
            .and_then(|word| word.parse().ok());
        let level: LevelFilter = level.with_context(|| format!("`{word}` is not a level"))?;
        targets = match target {
            None => targets.with_default(level),
            Some(target) if is_path(target) => targets.with_target(target, level),
            Some(target) => bail!("`{target}` is not a target"),
        };
    }
    Ok(targets)
}

/// Whether this can be a module path.
fn is_path(target: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
    !target.is_empty() && target.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_levels_and_targets() {
        for (list, ours, store) in [
            ("info", Some(Level::INFO), Some(Level::INFO)),
            ("info,", Some(Level::INFO), Some(Level::INFO)),
            (
                "warn, trunkline_store=debug",
                Some(Level::WARN),
                Some(Level::DEBUG),
            ),
            ("INFO,,trunkline_store=off", Some(Level::INFO), None),
            (
                "trunkline_store::postgres=trace",
                Some(Level::ERROR),
                Some(Level::ERROR),
            ),
            ("off", None, None),
        ] {
            let targets = targets(list).unwrap();
            for (target, most) in [("trunkline_engine", ours), ("trunkline_store", store)] {
                let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
                let shown = levels
                    .into_iter()
                    .filter(|level| targets.would_enable(target, level));
                assert_eq!(shown.max(), most, "{list}: {target}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for list in [
            "",
            " , ",
            "=",
            "info,=,",
            "loud",
            "trunkline_engine=",
            "=info",
            "a b=info",
            "a[request]=debug",
        ] {
            assert!(targets(list).is_err(), "{list}");
        }
    }
}
