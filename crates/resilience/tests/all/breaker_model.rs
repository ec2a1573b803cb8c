//! Drives a breaker with arbitrary inputs and compares every answer with a slow and obvious model of the rules.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_resilience::breaker::{
    Breaker, BreakerSettings, BreakerState, Capacity, HALF_OPEN_UNDECIDED, Permit, Transition, Verdict,
};

use BreakerState::{Closed, HalfOpen, Open};

#[derive(Clone, Copy, Debug)]
pub enum Input {
    Pass(Duration),
    Tick,
    Admit,
    /// Which outstanding permit, modulo their number.
    Record(usize, Verdict),
    Cancel(usize),
    /// The caller loses a permit: its task died.
    Lose(usize),
}

pub struct Model {
    pub breaker: Breaker,
    pub settings: BreakerSettings,
    pub now: Duration,
    pub transitions: Vec<Transition>,
    state: BreakerState,
    entered_at: Duration,
    window_start: Duration,
    run_of_failures: u32,
    good: u32,
    bad: u32,
    outstanding: Vec<(Permit, Call)>,
    lost: Vec<Call>,
}

struct Call {
    admitted_at: Duration,
    /// Number of transitions before it was admitted.
    generation: usize,
    /// It was a whole window old when the window ended without a result.
    given_up: bool,
}

impl Model {
    pub fn new(settings: BreakerSettings) -> Self {
        let breaker = Breaker::new(settings).unwrap();
        let (state, now) = (Closed, Duration::ZERO);
        let (transitions, outstanding, lost) = (Vec::new(), Vec::new(), Vec::new());
        let (run_of_failures, good, bad, entered_at) = (0, 0, 0, now);
        Self {
            breaker,
            settings,
            now,
            transitions,
            state,
            entered_at,
            window_start: now,
            run_of_failures,
            good,
            bad,
            outstanding,
            lost,
        }
    }

    pub fn apply(&mut self, input: Input, random: u64) -> Result<(), TestCaseError> {
        match input {
            Input::Pass(time) => self.now += time,
            Input::Tick => {
                let due = self
                    .breaker
                    .next_change_in(self.now)
                    .is_some_and(|left| left.is_zero());
                let transition = self.breaker.tick(self.now, random);
                prop_assert!(due || transition.is_none(), "moved without a due move");
                self.by_time(transition)?;
                prop_assert_ne!(self.breaker.next_change_in(self.now), Some(Duration::ZERO));
            }
            Input::Admit => self.admit(random)?,
            Input::Record(which, verdict) => self.record(which, verdict, random)?,
            Input::Cancel(which) => {
                if let Some((permit, _)) = self.take(which) {
                    let before = self.breaker.snapshot(self.now);
                    self.breaker.cancel(permit);
                    prop_assert_eq!(before, self.breaker.snapshot(self.now));
                }
            }
            Input::Lose(which) => {
                if let Some((_lost, call)) = self.take(which) {
                    self.lost.push(call);
                }
            }
        }
        self.check_probes()
    }

    fn admit(&mut self, random: u64) -> Result<(), TestCaseError> {
        let capacity = self.breaker.capacity(self.now);
        let (permit, transition) = self.breaker.admit(self.now, random);
        self.by_time(transition)?;
        match permit {
            Some(permit) => {
                prop_assert_ne!(self.state, Open, "a call while open");
                prop_assert_eq!(permit.is_probe(), self.state == HalfOpen);
                match (capacity, self.breaker.capacity(self.now)) {
                    (Capacity::Unlimited, Capacity::Unlimited) => prop_assert_eq!(self.state, Closed),
                    (Capacity::Permits(before), Capacity::Permits(after)) => {
                        prop_assert_eq!(before, after + 1)
                    }
                    changed => prop_assert!(false, "{:?}", changed),
                }
                let (admitted_at, generation) = (self.now, self.transitions.len());
                self.outstanding.push((
                    permit,
                    Call {
                        admitted_at,
                        generation,
                        given_up: false,
                    },
                ));
            }
            None => {
                prop_assert_ne!(self.state, Closed, "refused while closed");
                prop_assert_eq!(capacity, Capacity::Permits(0));
            }
        }
        Ok(())
    }

    fn record(&mut self, which: usize, verdict: Verdict, random: u64) -> Result<(), TestCaseError> {
        // Ticked first, so that a later move comes from the result; `breaker_walk` tests both at once.
        let by_time = self.breaker.tick(self.now, random);
        self.by_time(by_time)?;

        let Some((permit, call)) = self.take(which) else {
            return Ok(());
        };
        let before = self.breaker.snapshot(self.now);
        let capacity = self.breaker.capacity(self.now);
        let transition = self.breaker.record(permit, verdict, self.now, random);
        if call.given_up || call.generation != self.transitions.len() {
            prop_assert_eq!(transition, None);
            prop_assert_eq!(
                before,
                self.breaker.snapshot(self.now),
                "a stale result had an effect"
            );
            prop_assert_eq!(
                capacity,
                self.breaker.capacity(self.now),
                "a stale result had an effect"
            );
            return Ok(());
        }
        let expected = match self.state {
            Closed => {
                match verdict {
                    Verdict::Success => self.run_of_failures = 0,
                    Verdict::Answered => {}
                    Verdict::Failure => self.run_of_failures += 1,
                }
                (self.run_of_failures == self.settings.error_threshold).then_some(Open)
            }
            HalfOpen => {
                *if verdict == Verdict::Failure {
                    &mut self.bad
                } else {
                    &mut self.good
                } += 1;
                self.decided()
            }
            Open => None,
        };
        prop_assert_eq!(transition.map(|transition| transition.to), expected);
        self.follow(transition)
    }

    /// Tries every possible rest of the sample.
    fn decided(&self) -> Option<BreakerState> {
        let samples = self.settings.half_open_samples;
        let ends_well = |good: u32| f64::from(good) / f64::from(samples) > 2.0 / 3.0 - 1e-9;
        let outcomes: Vec<bool> = (self.good..=samples - self.bad).map(ends_well).collect();
        match (
            outcomes.iter().all(|well| *well),
            outcomes.iter().any(|well| *well),
        ) {
            (true, _) => Some(Closed),
            (_, false) => Some(Open),
            _ => None,
        }
    }

    /// A transition that no result caused.
    fn by_time(&mut self, transition: Option<Transition>) -> Result<(), TestCaseError> {
        let in_state = self.now - self.entered_at;
        let window_over = self.now - self.window_start >= HALF_OPEN_UNDECIDED;
        if let Some(transition) = transition {
            match (transition.from, transition.to) {
                (Open, HalfOpen) => {
                    prop_assert!(in_state >= self.settings.open, "half-open too early");
                }
                (HalfOpen, Closed) => {
                    prop_assert!(window_over && self.good >= 1 && self.bad == 0);
                }
                (HalfOpen, Open) => prop_assert!(window_over && self.bad >= 1),
                illegal => prop_assert!(false, "time alone did {:?}", illegal),
            }
            return self.follow(Some(transition));
        }
        // The breaker has just ticked, so no move may be due.
        match self.state {
            Closed => {}
            Open => prop_assert!(in_state < self.settings.max_open, "open for too long"),
            HalfOpen if window_over => {
                prop_assert_eq!(self.good + self.bad, 0, "undecided for too long");
                self.window_start = self.now;
                let outstanding = self.outstanding.iter_mut().map(|(_, call)| call);
                for call in outstanding.chain(&mut self.lost) {
                    call.given_up |= self.now - call.admitted_at >= HALF_OPEN_UNDECIDED;
                }
            }
            HalfOpen => {}
        }
        Ok(())
    }

    fn follow(&mut self, transition: Option<Transition>) -> Result<(), TestCaseError> {
        if let Some(transition) = transition {
            prop_assert_eq!(transition.from, self.state);
            (self.state, self.entered_at, self.window_start) = (transition.to, self.now, self.now);
            (self.run_of_failures, self.good, self.bad) = (0, 0, 0);
            self.transitions.push(transition);
        }
        prop_assert_eq!(self.breaker.snapshot(self.now).state, self.state);
        Ok(())
    }

    /// Limits on probes; no place is lost or invented.
    fn check_probes(&self) -> Result<(), TestCaseError> {
        if self.state != HalfOpen {
            return Ok(());
        }
        let calls = self.outstanding.iter().map(|(_, call)| call).chain(&self.lost);
        let this_round = calls.filter(|call| call.generation == self.transitions.len() && !call.given_up);
        let settings = &self.settings;
        let (under_way, results) = (this_round.count() as u32, self.good + self.bad);
        prop_assert!(
            under_way <= settings.half_open_in_flight,
            "{} probes under way",
            under_way
        );
        prop_assert!(
            results + under_way <= settings.half_open_samples,
            "{} + {} probes",
            results,
            under_way
        );
        if self.now - self.window_start < HALF_OPEN_UNDECIDED {
            let in_flight_left = settings.half_open_in_flight - under_way;
            let sample_left = settings.half_open_samples - results - under_way;
            let expected = Capacity::Permits(in_flight_left.min(sample_left));
            prop_assert_eq!(self.breaker.capacity(self.now), expected);
        }
        Ok(())
    }

    fn take(&mut self, which: usize) -> Option<(Permit, Call)> {
        let count = self.outstanding.len();
        (count > 0).then(|| self.outstanding.swap_remove(which % count))
    }
}
