//! The databases against the reference model: the same random commands, and every answer and all that can be read must
//! agree.
//!
//! SQLite shares its clock with the model and must agree to the microsecond. PostgreSQL has its own: its instants are
//! left out, durations are only "already over" and "not yet", its limits are never reached (the order of equally old
//! entries is not defined), and its conversations may have other numbers.

mod command;
mod compare;
mod endpoints;
mod log;
mod pair;

use std::sync::Arc;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tempfile::TempDir;
use throwaway_postgres::Cluster;
use trunkline_store::{Sqlite, Store};

use self::{command::commands, pair::Pair};
use crate::{driven_clock::DrivenClock, world::open_postgres};

const SQLITE_RUNS: u32 = 150;
const POSTGRES_RUNS: u32 = 25;

/// Runs random commands against fresh stores; a failure is cut down to the commands that matter and shown.
fn compare(runs: u32, driven: bool, open: impl Fn(&Arc<DrivenClock>) -> Arc<dyn Store>) {
    let config = Config {
        cases: runs,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let sequences = prop::collection::vec(commands(driven), 1..40);
    let run = TestRunner::new(config).run(&sequences, |commands| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let clock = Arc::new(if driven {
                DrivenClock::new()
            } else {
                DrivenClock::of_today()
            });
            let store = open(&clock);
            store.migrate().await.unwrap();
            Pair::new(store, clock, driven).run(&commands).await;
        });
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

#[test]
fn sqlite_does_what_the_model_does() {
    let directory = TempDir::new().unwrap();
    let runs = std::cell::Cell::new(0);
    compare(SQLITE_RUNS, true, |clock| {
        runs.set(runs.get() + 1);
        let path = directory.path().join(format!("{}.db", runs.get()));
        Arc::new(Sqlite::open(&path, clock.clone()).unwrap())
    });
}

#[test]
fn postgres_does_what_the_model_does() {
    compare(POSTGRES_RUNS, false, |_| {
        Arc::new(open_postgres(&Cluster::shared().create_database()).unwrap())
    });
}

#[test]
fn sqlite_in_memory_does_what_the_model_does() {
    compare(SQLITE_RUNS, true, |clock| {
        Arc::new(Sqlite::in_memory(clock.clone()).unwrap())
    });
}
