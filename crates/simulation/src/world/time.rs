use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp};

/// The time of the world: it moves only while all tasks wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    origin: tokio::time::Instant,
}

/// The clock of the database, which measures leases and due times.
#[derive(Debug)]
pub(crate) struct DatabaseClock(pub(crate) Time);

/// The clocks of a node. Its wall clock is wrong and jumps; its monotonic clock has an origin of its own.
#[derive(Debug)]
pub(crate) struct NodeClock {
    pub(crate) time: Time,
    pub(crate) wrong_by_micros: Arc<AtomicI64>,
    pub(crate) booted: Duration,
}

/// The start of every run: 2026-11-21T10:00:00Z.
const BEGINNING_MICROS: i64 = 1_795_255_200_000_000;

impl Time {
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's paused clock is what the simulation drives"
    )]
    pub(crate) fn start() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }

    /// Since the start of the run.
    pub(crate) fn elapsed(self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(self, wrong_by_micros: i64) -> Timestamp {
        let micros = BEGINNING_MICROS + self.elapsed().as_micros() as i64 + wrong_by_micros;
        Timestamp::from_micros(micros).expect("a run ends long before time does")
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        self.0.wall(0)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.time.wall(self.wrong_by_micros.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.booted + self.time.elapsed()
    }
}
