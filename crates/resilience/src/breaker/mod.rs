//! A circuit breaker for one provider on one node. It stops calls to a provider that keeps failing, and finds out with a few
//! probes when the provider is back. After Michael Nygard, "Release It!".
//!
//! ```text
//!              error_threshold failures in a row
//!      Closed ───────────────────────────────────► Open ◄──────────────┐
//!        ▲                                          │ cool-down over   │ still failing
//!        │                                          ▼                  │
//!        └───────────────────────────────────── HalfOpen ──────────────┘
//!                  provider is back
//! ```
//!
//! There are no other edges. The breaker moves only in [`tick`](Breaker::tick), [`admit`](Breaker::admit) and
//! [`record`](Breaker::record); the latter two tick first, so the order of ticks and records does not matter. Each move is
//! returned as a [`Transition`], at most one for each call.
//!
//! The caller makes the calls, counts the attempts and turns each outcome into a [`Verdict`].

mod cooldown;
mod half_open;
mod settings;

use std::time::Duration;

use half_open::{Finding, Round};
pub use settings::{BreakerSettings, BreakerSettingsError, HALF_OPEN_UNDECIDED, HEALTHY_RESET};

#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Counts transitions; a permit of an earlier generation has no effect.
    generation: u64,
    next_serial: u64,
    consecutive_failures: u32,
    /// Openings since the provider was last healthy; the exponent of the next cool-down.
    openings: u32,
    last_transition_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    Closed,
    /// No calls until the cool-down is over.
    Open,
    /// A few probes test whether the provider is back.
    HalfOpen,
}

impl BreakerState {
    /// The name in JSON, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One change of state, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an uncounted transition makes the metrics wrong"]
pub struct Transition {
    pub from: BreakerState,
    pub to: BreakerState,
}

/// What the outcome of a call says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider took the message. Ends a run of failures.
    Success,
    /// The provider answered with a 429 or rejected one message. A closed breaker's run of failures neither grows nor ends; a
    /// half-open breaker counts it as good.
    Answered,
    /// An error or a timeout.
    Failure,
}

/// The right to make one call. Return it with [`Breaker::record`], or with [`Breaker::cancel`] if the call ended without a
/// verdict.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is neither recorded nor cancelled blocks a half-open breaker for a minute or more"]
pub struct Permit {
    generation: u64,
    probe_serial: Option<u64>,
}

impl Permit {
    /// True for a probe of a half-open breaker, whose outcome is recorded but not counted as an attempt.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe_serial.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Closed: the breaker sets no limit.
    Unlimited,
    /// This many and no more; 0 while open.
    Permits(u32),
}

/// The state of a breaker for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSnapshot {
    pub state: BreakerState,
    /// Failures since the last success; 0 again once closed.
    pub consecutive_failures: u32,
    /// On the caller's monotonic clock; `None` if the state never changed.
    pub last_transition_at: Option<Duration>,
    /// Until the breaker is half-open; 0 unless open.
    pub cooldown_remaining: Duration,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { since: Duration, cooldown: Duration },
    HalfOpen(Round),
}

/// What time alone does to a breaker.
#[derive(Clone, Copy)]
enum Due {
    Nothing,
    Become(BreakerState),
    /// Half-open, and a window passed without a result.
    StartOver,
}

impl Breaker {
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(settings: BreakerSettings) -> Result<Self, BreakerSettingsError> {
        settings.validate()?;
        Ok(Self {
            settings,
            phase: Phase::Closed,
            generation: 0,
            next_serial: 0,
            consecutive_failures: 0,
            openings: 0,
            last_transition_at: None,
        })
    }

    /// Makes the moves that are due: open to half-open after the cool-down, and the decision of a half-open round after
    /// [`HALF_OPEN_UNDECIDED`]. May be called at any time; [`next_change_in`](Self::next_change_in) says when the next move is
    /// due.
    pub fn tick(&mut self, now: Duration, random: u64) -> Option<Transition> {
        match self.due(now) {
            Due::Nothing => None,
            Due::Become(state) => Some(self.enter(state, now, random)),
            Due::StartOver => {
                if let Phase::HalfOpen(round) = &mut self.phase {
                    round.start_over(now);
                }
                None
            }
        }
    }

    /// Asks for one call. Without a permit, do not call.
    pub fn admit(&mut self, now: Duration, random: u64) -> (Option<Permit>, Option<Transition>) {
        let transition = self.tick(now, random);
        let generation = self.generation;
        let permit = match &mut self.phase {
            Phase::Closed => Some(Permit {
                generation,
                probe_serial: None,
            }),
            Phase::HalfOpen(round) if round.permits(&self.settings) > 0 => {
                let serial = self.next_serial;
                self.next_serial += 1;
                round.admit(serial, now);
                Some(Permit {
                    generation,
                    probe_serial: Some(serial),
                })
            }
            Phase::HalfOpen(_) | Phase::Open { .. } => None,
        };
        (permit, transition)
    }

    /// Takes the verdict of a call. It has no effect if the call was admitted before the last move or given up since.
    pub fn record(
        &mut self,
        permit: Permit,
        verdict: Verdict,
        now: Duration,
        random: u64,
    ) -> Option<Transition> {
        let by_time = self.tick(now, random);
        if permit.generation != self.generation {
            return by_time;
        }
        let next = match (&mut self.phase, permit.probe_serial) {
            (Phase::Closed, None) => {
                self.consecutive_failures = run_of_failures(self.consecutive_failures, verdict);
                let broken = self.consecutive_failures >= self.settings.error_threshold;
                broken.then_some(BreakerState::Open)
            }
            (Phase::HalfOpen(round), Some(serial)) => {
                if round.record(serial, verdict != Verdict::Failure) {
                    self.consecutive_failures = run_of_failures(self.consecutive_failures, verdict);
                }
                match round.finding(&self.settings) {
                    Finding::Undecided => None,
                    Finding::ProviderIsBack => Some(BreakerState::Closed),
                    Finding::StillFailing => Some(BreakerState::Open),
                }
            }
            // The generation changes with the phase, so a permit of this generation fits the phase.
            _ => None,
        };
        // A move by time changes the generation, so at most one of the two is there.
        by_time.or_else(|| next.map(|state| self.enter(state, now, random)))
    }

    /// Takes back the permit of a call that was cancelled or panicked, and frees its place. Needs neither time nor randomness,
    /// so that a guard can call it while unwinding.
    pub fn cancel(&mut self, permit: Permit) {
        if let (Phase::HalfOpen(round), Some(serial)) = (&mut self.phase, permit.probe_serial) {
            // Serials are never reused, so a stale one matches nothing.
            round.remove(serial);
        }
    }

    /// How many calls [`admit`](Self::admit) would let through now, one after the other. Due moves count as made.
    #[must_use]
    pub fn capacity(&self, now: Duration) -> Capacity {
        match (self.due(now), &self.phase) {
            (Due::Nothing, Phase::Closed) | (Due::Become(BreakerState::Closed), _) => Capacity::Unlimited,
            (Due::Nothing, Phase::HalfOpen(round)) => Capacity::Permits(round.permits(&self.settings)),
            (Due::StartOver, Phase::HalfOpen(round)) => {
                Capacity::Permits(round.permits_after_start_over(now, &self.settings))
            }
            (Due::Become(BreakerState::HalfOpen), _) => {
                Capacity::Permits(Round::begin(now).permits(&self.settings))
            }
            _ => Capacity::Permits(0),
        }
    }

    /// How long until [`tick`](Self::tick) has something to do: 0 if it has now, `None` while closed.
    #[must_use]
    pub fn next_change_in(&self, now: Duration) -> Option<Duration> {
        match &self.phase {
            Phase::Closed => None,
            Phase::Open { .. } => Some(self.cooldown_remaining(now)),
            Phase::HalfOpen(round) => Some(round.window_remaining(now)),
        }
    }

    /// The state after the last move; moves that are due are not made.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> BreakerSnapshot {
        BreakerSnapshot {
            state: self.phase.state(),
            consecutive_failures: self.consecutive_failures,
            last_transition_at: self.last_transition_at,
            cooldown_remaining: self.cooldown_remaining(now),
        }
    }

    fn due(&self, now: Duration) -> Due {
        match &self.phase {
            Phase::Open { .. } if self.cooldown_remaining(now).is_zero() => {
                Due::Become(BreakerState::HalfOpen)
            }
            Phase::HalfOpen(round) if round.window_remaining(now).is_zero() => {
                match round.finding_at_window_end() {
                    Finding::Undecided => Due::StartOver,
                    Finding::ProviderIsBack => Due::Become(BreakerState::Closed),
                    Finding::StillFailing => Due::Become(BreakerState::Open),
                }
            }
            _ => Due::Nothing,
        }
    }

    fn enter(&mut self, to: BreakerState, now: Duration, random: u64) -> Transition {
        let from = self.phase.state();
        self.phase = match to {
            BreakerState::Closed => {
                self.consecutive_failures = 0;
                Phase::Closed
            }
            BreakerState::Open => {
                if from == BreakerState::Closed && self.time_in_state(now) >= HEALTHY_RESET {
                    self.openings = 0;
                }
                let cooldown = cooldown::cooldown(&self.settings, self.openings, random);
                self.openings = self.openings.saturating_add(1);
                Phase::Open { since: now, cooldown }
            }
            BreakerState::HalfOpen => Phase::HalfOpen(Round::begin(now)),
        };
        self.generation += 1;
        self.last_transition_at = Some(now);
        Transition { from, to }
    }

    fn time_in_state(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_transition_at.unwrap_or_default())
    }

    fn cooldown_remaining(&self, now: Duration) -> Duration {
        match self.phase {
            Phase::Open { since, cooldown } => cooldown.saturating_sub(now.saturating_sub(since)),
            Phase::Closed | Phase::HalfOpen(_) => Duration::ZERO,
        }
    }
}

impl Phase {
    fn state(&self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }
}

fn run_of_failures(so_far: u32, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Success => 0,
        Verdict::Answered => so_far,
        Verdict::Failure => so_far.saturating_add(1),
    }
}
