//! The measurements, one file each, and what they share.

mod accepts;
mod burst;
mod fill;
mod growth;
mod latency;
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

/// How often bursts and latencies are measured, bursts in turn with their baseline: a machine that is not ours alone is faster
/// in one minute than in the next. What stands in the table is the round in the middle.
const ROUNDS: usize = 3;

/// Everything that `compare` measures, by the name that selects it.
pub(crate) const COMPARED: [(&str, &str); 6] = [
    ("a", "accepted messages a second, against the baseline"),
    ("b", "sustained from request to dispatch, against raw inserts"),
    ("c", "latency at half of the peak rate"),
    ("d", "the accepting transaction alone and at 100 a second"),
    ("e", "SQLite against PostgreSQL"),
    ("f", "one connection, against a bare durable insert"),
];

/// What a run of this program is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long each load lasts.
    pub(crate) seconds: Duration,
    /// Connections of the baseline's pool, instead of what is best for it.
    pub(crate) baseline_pool: Option<usize>,
    /// On which databases, where there is a choice.
    pub(crate) kinds: Vec<Kind>,
    /// Messages on the full store that growth is measured on.
    pub(crate) stored: u64,
    /// Messages of the backlog whose drain is measured.
    pub(crate) backlog: u64,
}

/// A run of this program.
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
