use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use crate::Timestamp;

/// The source of time. Production reads the machine's clocks; tests and the simulation drive their own.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, for times that people read. It may jump.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed origin, for measuring durations. It never goes backwards.
    fn monotonic(&self) -> Duration;
}

#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// The monotonic origin is the moment of the call.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the real monotonic clock"
    )]
    #[allow(
        clippy::new_without_default,
        reason = "a default value should not depend on the time"
    )]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the real wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from(jiff::Timestamp::now())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
