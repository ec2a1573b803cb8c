//! The breaker's transitions, walked one by one on exact times.

mod half_open;
mod open_and_closed;

use std::time::Duration;

use trunkline_resilience::breaker::{Breaker, BreakerSettings, BreakerState, Permit, Transition, Verdict};

use BreakerState::{Closed, HalfOpen, Open};
use Verdict::Failure;

pub const SETTINGS: BreakerSettings = BreakerSettings {
    error_threshold: 3,
    open: Duration::from_secs(30),
    max_open: Duration::from_secs(300),
    half_open_samples: 3,
    half_open_in_flight: 2,
};
pub const NANO: Duration = Duration::from_nanos(1);

/// A breaker, the time, and a `random` of 0: the shortest cool-down.
pub struct Walk {
    pub breaker: Breaker,
    pub now: Duration,
    pub random: u64,
}

impl Walk {
    pub fn new() -> Self {
        Self::with(SETTINGS)
    }

    pub fn with(settings: BreakerSettings) -> Self {
        Self {
            breaker: Breaker::new(settings).unwrap(),
            now: Duration::from_secs(5_000),
            random: 0,
        }
    }

    pub fn opened() -> Self {
        let mut walk = Self::new();
        assert_eq!(walk.calls(&[Failure, Failure, Failure]), walk.moved(Closed, Open));
        walk
    }

    pub fn half_opened() -> Self {
        let mut walk = Self::opened();
        assert_eq!(walk.pass(SETTINGS.open), walk.moved(Open, HalfOpen));
        walk
    }

    pub fn moved(&self, from: BreakerState, to: BreakerState) -> Option<Transition> {
        Some(Transition { from, to })
    }

    pub fn state(&self) -> BreakerState {
        self.breaker.snapshot(self.now).state
    }

    pub fn pass(&mut self, time: Duration) -> Option<Transition> {
        self.now += time;
        self.breaker.tick(self.now, self.random)
    }

    pub fn permit(&mut self) -> Permit {
        let (permit, transition) = self.breaker.admit(self.now, self.random);
        assert_eq!(transition, None);
        permit.unwrap()
    }

    pub fn refused_for(&mut self) -> Duration {
        assert_eq!(self.breaker.admit(self.now, self.random), (None, None));
        self.breaker.next_change_in(self.now).unwrap()
    }

    pub fn record(&mut self, permit: Permit, verdict: Verdict) -> Option<Transition> {
        self.breaker.record(permit, verdict, self.now, self.random)
    }

    /// Sequential calls; only the last may move the breaker.
    pub fn calls(&mut self, verdicts: &[Verdict]) -> Option<Transition> {
        let mut last = None;
        for verdict in verdicts {
            assert_eq!(last, None);
            let permit = self.permit();
            last = self.record(permit, *verdict);
        }
        last
    }
}
