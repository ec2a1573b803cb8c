//! A circuit breaker for one provider on one node: stops calling a provider that keeps failing, and finds out with
//! a few probes when it is back. After Michael Nygard, "Release It!".
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
//! No other edge exists. The machine is passive: it moves only inside [`tick`](Breaker::tick),
//! [`admit`](Breaker::admit) and [`record`](Breaker::record). The latter two first do what the passing of time
//! demands, so the order in which a driver happens to tick and to record makes no difference. Every change of state
//! is returned as a [`Transition`], at most one for each call.
//!
//! It never calls a provider, never counts attempts, and knows no messages: turning an outcome into a [`Verdict`]
//! is the caller's.

mod cooldown;
mod half_open;
mod settings;

use std::time::Duration;

use half_open::{Finding, Round};
pub use settings::{BreakerSettings, BreakerSettingsError, HALF_OPEN_UNDECIDED, HEALTHY_RESET};

/// The state machine. See the module for its edges.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Counts transitions; a permit of an earlier generation has no say any more.
    generation: u64,
    next_serial: u64,
    consecutive_failures: u32,
    /// Openings since the provider was last healthy: the exponent of the next cool-down.
    openings: u32,
    last_transition_at: Option<Duration>,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls flow.
    Closed,
    /// No call is made until the cool-down is over.
    Open,
    /// A few probes are made to see whether the provider is back.
    HalfOpen,
}

impl BreakerState {
    /// The word in JSON, metrics and logs.
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
    /// The state left.
    pub from: BreakerState,
    /// The state entered.
    pub to: BreakerState,
}

/// What a finished call says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took the message. Ends a run of failures; good for a half-open breaker.
    Success,
    /// It answered, but not with a yes: a 429, or the rejection of one message. That is no failure and no sign of
    /// health either, so a closed breaker's run of failures neither grows nor ends. Good for a half-open breaker.
    Answered,
    /// An error or a timeout.
    Failure,
}

/// The right to make one call. Give it back with [`Breaker::record`], or with [`Breaker::cancel`] when the call
/// ended without a verdict.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is neither recorded nor cancelled holds a half-open breaker up for a minute and more"]
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

/// How many calls may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Closed: the breaker sets no limit.
    Unlimited,
    /// This many and no more; 0 while open.
    Permits(u32),
}

/// A breaker as people and metrics see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// Where it stands.
    pub state: BreakerState,
    /// Failures since the last success; 0 again once closed.
    pub consecutive_failures: u32,
    /// When the state last changed, on the caller's monotonic clock; `None` when it never did.
    pub last_transition_at: Option<Duration>,
    /// Until it is half-open; 0 unless open.
    pub cooldown_remaining: Duration,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { since: Duration, cooldown: Duration },
    HalfOpen(Round),
}

/// What the passing of time alone does to a breaker.
#[derive(Clone, Copy)]
enum Due {
    Nothing,
    Become(BreakerState),
    /// Half-open and a window went by without a result.
    StartOver,
}

impl Breaker {
    /// A closed breaker that has seen nothing yet.
    ///
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

    /// Does what the passing of time demands: open to half-open when the cool-down is over, and a decision about a
    /// half-open round after [`HALF_OPEN_UNDECIDED`]. Harmless at any time; [`next_change_in`](Self::next_change_in)
    /// says when it would do something.
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

    /// Asks for one call; without a permit, make none.
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

    /// Takes the verdict of a call. A stale one, admitted before the last change of state or given up since, has
    /// no effect.
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
        // Time changed the generation if it changed the state, so at most one of the two is there.
        by_time.or_else(|| next.map(|state| self.enter(state, now, random)))
    }

    /// Takes back the permit of a call that was cancelled or panicked: no verdict, its place is free again. Needs
    /// neither time nor randomness and changes no state, so that a guard can do it while unwinding.
    pub fn cancel(&mut self, permit: Permit) {
        if let (Phase::HalfOpen(round), Some(serial)) = (&mut self.phase, permit.probe_serial) {
            // Serials are never reused, so a stale one finds nothing here.
            round.remove(serial);
        }
    }

    /// How many calls [`admit`](Self::admit) would let through at this `now`, one after the other. Takes the
    /// passing of time into account, also when nobody has ticked.
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

    /// How long until [`tick`](Self::tick) would do something if nothing else happened: 0 when it would now,
    /// `None` when never (closed).
    #[must_use]
    pub fn next_change_in(&self, now: Duration) -> Option<Duration> {
        match &self.phase {
            Phase::Closed => None,
            Phase::Open { .. } => Some(self.cooldown_remaining(now)),
            Phase::HalfOpen(round) => Some(round.window_remaining(now)),
        }
    }

    /// Where the breaker stands, as of the last call that moved it.
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
