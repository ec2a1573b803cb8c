//! Asks a running service whether it is ready, and waits until it is.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgMatches, Command};

use crate::{
    client::{self, Api, Unanswered},
    terminal::{harmless, print},
};

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long one look may take: a node answers within 2 s, and an address where nothing is yet may swallow the request.
const LOOK_MAX: Duration = Duration::from_secs(3);
const WAIT_MAX: Duration = Duration::from_secs(3_600);

pub(crate) fn command() -> Command {
    let wait = Arg::new("wait")
        .long("wait")
        .value_name("DURATION")
        .value_parser(duration)
        .help("Wait up to this long, such as 10s or 500ms; a number alone is seconds [default: look once]");
    Command::new("ready")
        .about("Check that a running service would store a send: GET /readyz answers 200")
        .arg(wait)
        .args(client::flags())
        .after_help(
            "The exit status is 0 if the service is ready, else 1.\n\n\
             Examples:\n  trunkline ready                                look once\n  \
             trunkline ready --wait 10s                     wait until it is ready, 10 seconds at most\n  \
             trunkline ready --url http://trunkline:8080 --wait 1m",
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let api = Api::named(arguments)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match arguments.get_one::<Duration>("wait") {
                Some(wait) => until_ready(&api, *wait).await,
                None => look(&api).await,
            }
        })?;
    print(&format!("{} is ready\n", harmless(api.url())))
}

/// Looks until the service is ready or `wait` is over. Returns the error of the last look.
async fn until_ready(api: &Api, wait: Duration) -> anyhow::Result<()> {
    let mut found = None;
    let looks = async {
        while let Err(error) = look(api).await {
            found = Some(error);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(wait, looks).await {
        Ok(()) => Ok(()),
        Err(_) => {
            let error = found.unwrap_or_else(|| silent(api));
            Err(error.context(format!("waited {wait:?}")))
        }
    }
}

async fn look(api: &Api) -> anyhow::Result<()> {
    let answer = tokio::time::timeout(LOOK_MAX, api.get("/readyz", &[])).await;
    match answer.map_err(|_| silent(api))? {
        Ok(answer) => {
            let answer = answer.done().map(drop);
            answer.with_context(|| format!("{} is not ready", harmless(api.url())))
        }
        Err(lost @ Unanswered::Lost { .. }) => Err(anyhow!("{lost}. Check --url and the service's log")),
        Err(error) => Err(error.into()),
    }
}

fn silent(api: &Api) -> anyhow::Error {
    let url = harmless(api.url());
    anyhow!("no answer from {url} yet. Check --url and the service's log, or wait longer with --wait")
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let unit_millis = match &text[number.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    let millis = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit_millis));
    let wait = millis.map(Duration::from_millis);
    wait.filter(|wait| !wait.is_zero() && *wait <= WAIT_MAX)
        .ok_or_else(|| "use a duration from 1ms to 60m, such as 10s or 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_seconds() {
        for (text, millis) in [
            ("10s", 10_000),
            ("10", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("60m", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "10 s",
            "10S",
            "1h",
            "61m",
            "18446744073709551615m",
            "é",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
