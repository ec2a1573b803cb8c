use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use crate::Timestamp;

/// Where the time comes from. The one in production reads the machine's clocks; tests and the simulation drive theirs.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock: what people read in a message. It may jump.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed origin, for measuring durations. It never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is this moment.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where the real monotonic clock comes in"
    )]
    #[allow(
        clippy::new_without_default,
        reason = "a default that depends on the moment would surprise"
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
        reason = "the one place where the real wall clock comes in"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from(jiff::Timestamp::now())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
