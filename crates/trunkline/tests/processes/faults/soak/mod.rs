//! A storm of every kind of fault, in the order of a seed, for a chosen time, with a report at the end.
//! docs/soak.md says how to run a long one and how to read what it prints.

mod report;

use std::{env, fs, time::Duration};

use domain::Entropy;

use self::report::Report;
use super::{
    storm::{ANSWER_MAX, ROUND, Strikes, storm},
    variable,
};
use crate::world::{Pace, Stopwatch, World};

/// In a run longer than a day, clients would send so rarely that the wait for the next fault would time out.
const SECONDS_MAX: u64 = 24 * 60 * 60;
const CLIENTS: u32 = 8;
/// How often each client sends, unless the soak is so long that `OFFERS_MAX` makes it less.
const EVERY_MIN: Duration = Duration::from_millis(10);
/// Every message is kept for the audit, so memory limits their number.
const OFFERS_MAX: u32 = 1_000_000;
/// Few enough attempts that some messages fail, so that the audit sees their reasons.
const ATTEMPTS_MAX: u32 = 4;
/// The round that every run of the tests has is the same one, so that a test does not depend on luck.
const ONE_ROUND_SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_every_duplicate_is_explained() {
    // Even the shortest run has one round, with every kind of fault.
    let seconds = variable("SOAK_SECONDS").unwrap_or_default();
    let seed = variable("SOAK_SEED").unwrap_or_else(|| match seconds {
        0 => ONE_ROUND_SEED,
        _ => Entropy::from_system().next_u64() % 1_000_000,
    });
    assert!(seconds <= SECONDS_MAX, "SOAK_SECONDS goes up to {SECONDS_MAX}");
    let length = Duration::from_secs(seconds);
    println!("a soak of {} s with SOAK_SEED={seed}", length.as_secs());
    let pace = Pace {
        clients: CLIENTS as usize,
        every: EVERY_MIN.max(length * CLIENTS / OFFERS_MAX),
        timeout: ANSWER_MAX,
    };
    let settings = |world: World| {
        // At the level info, a night of messages would fill a disk.
        world
            .set("API_LOG", "warn")
            .set("API_WORKER_MAX_ATTEMPTS", ATTEMPTS_MAX)
    };
    let watch = Stopwatch::start();
    let strikes = (0..)
        .zip(Strikes::of(seed))
        .take_while(|(number, _)| *number < ROUND || watch.elapsed() < length)
        .map(|(_, strike)| strike);
    let aftermath = storm(pace, settings, strikes).await;
    let report = Report::of(seed, watch.elapsed(), &aftermath).to_string();
    println!("{report}");
    if let Some(path) = env::var_os("SOAK_REPORT") {
        fs::write(path, &report).unwrap();
    }
    aftermath.unbroken();
}
