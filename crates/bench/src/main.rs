//! The benchmark: everything side by side with a baseline, in one run, as ratios.
//!
//! It starts the real program and the baseline as processes, on a PostgreSQL cluster of its own with default durability and on
//! SQLite files. It refuses the figures of a run that lost or duplicated a message. See docs/performance.md.

mod arguments;
mod load;
mod measurements;
mod report;
mod subjects;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::ArgMatches;
use domain::{Clock, SystemClock};
use tokio::runtime::Builder;

use crate::{
    load::{Authority, Pace, Plan, Shape, drive},
    measurements::{Bench, COMPARED, Options},
    subjects::{Kind, Trunkline},
};

fn main() -> ExitCode {
    match run(&arguments::command().get_matches()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all targets were met.
fn run(arguments: &ArgMatches) -> anyhow::Result<bool> {
    if let Some(("baseline", arguments)) = arguments.subcommand() {
        let url: &String = arguments.get_one("database-url").context("--database-url")?;
        let pool = arguments.get_one("pool").copied().context("--pool")?;
        Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(subjects::serve_baseline(url, pool))?;
        return Ok(true);
    }
    // One thread: the generator shares the machine with the server.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match arguments.subcommand() {
        Some(("load", arguments)) => runtime.block_on(put_load(arguments)),
        subcommand => runtime.block_on(measure(subcommand, arguments)),
    }
}

async fn put_load(arguments: &ArgMatches) -> anyhow::Result<bool> {
    let url: &String = arguments.get_one("url").context("--url")?;
    let authority: Authority = url.parse()?;
    let rate: Option<f64> = arguments.get_one("rate").copied();
    let connections = arguments.get_one::<u64>("connections").context("--connections")?;
    let hot = arguments.get_flag("hot");
    let pairs: u32 = arguments.get_one("pairs").copied().context("--pairs")?;
    let plan = Plan {
        connections: usize::try_from(*connections)?,
        pace: rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
        lasts: seconds(arguments)?,
        shape: Shape {
            pairs: if hot { 1 } else { pairs },
            keys: arguments.get_flag("keys"),
            api_key: arguments.get_one("api-key").cloned(),
            run: u64::try_from(SystemClock::new().now().as_micros())?,
        },
    };
    let tally = drive(&authority, &plan).await?;
    if arguments.get_flag("json") {
        println!("{}", tally.to_json());
    } else {
        println!("{}", tally.line());
    }
    Ok(tally.refused.is_empty() && tally.unanswered == 0)
}

async fn measure(subcommand: Option<(&str, &ArgMatches)>, top: &ArgMatches) -> anyhow::Result<bool> {
    let (name, arguments) = subcommand.unwrap_or(("compare", top));
    let options = Options {
        seconds: seconds(arguments)?,
        baseline_pool: arguments.get_one("baseline-pool").copied(),
        kinds: kinds(arguments),
        before: arguments
            .get_one::<String>("before")
            .map(|program| Trunkline::at(program.as_ref()))
            .transpose()?,
        stored: arguments.get_one("stored").copied().context("--stored")?,
        backlog: arguments.get_one("backlog").copied().context("--backlog")?,
    };
    let trunkline = match arguments.get_one::<String>("trunkline") {
        Some(program) => Trunkline::at(program.as_ref())?,
        None => Trunkline::build().await?,
    };
    let mut bench = Bench::new(options, trunkline)?;
    let measured = match name {
        "compare" => compare(&mut bench, arguments).await,
        "reads" => bench.reads().await,
        "growth" => bench.growth().await,
        "listings" => bench.listings().await,
        _ => bench.start().await,
    };
    // The figures so far are shown even if something broke.
    if arguments.get_flag("json") {
        println!("{}", bench.report.to_json());
    } else {
        print!("\n{}", bench.report.table());
    }
    measured?;
    Ok(!arguments.get_flag("check") || bench.report.is_good())
}

async fn compare(bench: &mut Bench, arguments: &ArgMatches) -> anyhow::Result<()> {
    let only: Option<Vec<&str>> = arguments
        .get_one::<String>("only")
        .map(|only| only.split(',').map(str::trim).collect());
    for (name, what) in COMPARED {
        if only.as_ref().is_none_or(|only| only.contains(&name)) {
            eprintln!("{name}: {what}");
            bench
                .compare(name)
                .await
                .with_context(|| format!("measurement {name}"))?;
        }
    }
    Ok(())
}

fn seconds(arguments: &ArgMatches) -> anyhow::Result<Duration> {
    let seconds: &f64 = arguments.get_one("seconds").context("--seconds")?;
    Ok(Duration::try_from_secs_f64(*seconds)?)
}

fn kinds(arguments: &ArgMatches) -> Vec<Kind> {
    match arguments.get_one::<String>("database").map(String::as_str) {
        Some("postgres") => vec![Kind::Postgres],
        Some("sqlite") => vec![Kind::Sqlite],
        _ => vec![Kind::Postgres, Kind::Sqlite],
    }
}
