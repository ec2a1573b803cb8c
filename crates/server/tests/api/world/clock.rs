use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock, SystemClock, Timestamp};

/// The machine's clock, which a test may push on.
#[derive(Debug)]
pub struct DrivenClock {
    real: SystemClock,
    ahead: Mutex<Duration>,
}

impl DrivenClock {
    pub fn new() -> Self {
        Self {
            real: SystemClock::new(),
            ahead: Mutex::default(),
        }
    }

    /// Moves the time forward at once.
    pub fn advance(&self, time: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    fn ahead(&self) -> Duration {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        self.real.now().saturating_add(self.ahead())
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + self.ahead()
    }
}
