use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use domain::{Clock, SystemClock, Timestamp};

/// 2026-01-01T00:00:00Z, in microseconds.
const START: i64 = 1_767_225_600_000_000;

/// A clock that only the test advances.
#[derive(Debug)]
pub(crate) struct DrivenClock {
    passed_micros: AtomicI64,
    /// How far the wall clock was set forward, or back.
    stepped_micros: AtomicI64,
}

impl DrivenClock {
    pub(crate) fn new() -> Self {
        Self {
            passed_micros: AtomicI64::new(0),
            stepped_micros: AtomicI64::new(0),
        }
    }

    /// A clock that begins now: for a store that has a clock of its own.
    pub(crate) fn of_today() -> Self {
        let clock = Self::new();
        let ahead = SystemClock::new().now().as_micros() - START;
        clock.stepped_micros.store(ahead, Ordering::Relaxed);
        clock
    }

    pub(crate) fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).expect("tests pass hours, not eons");
        self.passed_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sets the wall clock forward, or back. No time passes.
    pub(crate) fn step(&self, seconds: i64) {
        self.stepped_micros
            .fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    fn passed(&self) -> i64 {
        self.passed_micros.load(Ordering::Relaxed)
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        let stepped = self.stepped_micros.load(Ordering::Relaxed);
        Timestamp::from_micros(START + stepped + self.passed()).expect("a time in this millennium")
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.passed().unsigned_abs())
    }
}
