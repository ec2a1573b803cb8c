//! The measurements, one file each, and what they share.

mod accepts;
mod burst;
mod events;
mod fill;
mod growth;
mod latency;
mod listings;
mod reads;
mod run;
mod single;
mod sqlite;
mod start;
mod sustained;
mod transaction;

use std::{path::Path, time::Duration};

use domain::{Clock, SystemClock};

use crate::{
    load::{Pace, Plan, Shape},
    report::Report,
    subjects::{Databases, Kind, Trunkline},
};

/// Conversations a load is spread over, unless it says otherwise.
const PAIRS: u32 = 20_000;

/// Rounds of bursts and latencies, bursts in turn with their baseline, since a shared machine changes speed. The table shows
/// the median round.
const ROUNDS: usize = 3;

/// The measurements of `compare`, by the letter that selects them.
pub(crate) const COMPARED: [(&str, &str); 7] = [
    ("a", "accepted messages a second, against the baseline"),
    ("b", "sustained from request to dispatch, against raw inserts"),
    ("c", "latency at half of the peak rate"),
    ("d", "the accepting transaction alone and at 100 a second"),
    ("e", "SQLite against PostgreSQL"),
    ("f", "one connection, against a bare durable insert"),
    ("g", "webhooks, what they cost, and streams of events"),
];

/// The options of a run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long each load lasts.
    pub(crate) seconds: Duration,
    /// Connections of the baseline's pool, instead of the best number.
    pub(crate) baseline_pool: Option<usize>,
    /// The databases, where there is a choice.
    pub(crate) kinds: Vec<Kind>,
    /// The program that `g` and its end to end rate are compared with, instead of the same one without an endpoint.
    pub(crate) before: Option<Trunkline>,
    /// Messages of the full store for growth.
    pub(crate) stored: u64,
    /// Messages of the backlog for growth.
    pub(crate) backlog: u64,
}

pub(crate) struct Bench {
    options: Options,
    trunkline: Trunkline,
    databases: Databases,
    clock: SystemClock,
    pub(crate) report: Report,
}

impl Bench {
    pub(crate) fn new(options: Options, trunkline: Trunkline) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            trunkline,
            databases: Databases::new()?,
            clock: SystemClock::new(),
            report: Report::default(),
        })
    }

    /// Runs one of [`COMPARED`].
    pub(crate) async fn compare(&mut self, name: &str) -> anyhow::Result<()> {
        match name {
            "a" => self.burst().await,
            "b" => self.sustained().await,
            "c" => self.latency().await,
            "d" => self.transaction().await,
            "e" => self.sqlite().await,
            "f" => self.single().await,
            "g" => self.events().await,
            unknown => anyhow::bail!("no measurement is called {unknown}"),
        }
    }

    fn directory(&self) -> &Path {
        self.databases.directory()
    }

    /// A load of this run's length.
    fn plan(&self, connections: usize, pace: Pace, pairs: u32) -> Plan {
        Plan {
            connections,
            pace,
            lasts: self.options.seconds,
            shape: Shape {
                pairs,
                keys: true,
                api_key: None,
                // Each load has keys of its own.
                run: u64::try_from(self.clock.now().as_micros()).unwrap_or(0),
            },
        }
    }
}
