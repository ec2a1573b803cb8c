//! Rule 9, judged by a second, simpler breaker that sees only the calls.

use std::time::Duration;

use engine::Metrics;
use providers::SendResult;
use resilience::{BreakerSettings, breaker::HALF_OPEN_UNDECIDED};

use super::{CallEnd, CallRecord, counters::Counted};

pub(super) const RULE: &str =
    "9: breaker moves on legal edges only; open = 0 calls; half-open in flight <= limit";

const EDGES: [(&str, &str); 4] = [
    ("closed", "open"),
    ("open", "half_open"),
    ("half_open", "open"),
    ("half_open", "closed"),
];

/// The breaker of one node and provider, derived from its calls.
#[derive(Default)]
pub(super) struct Model {
    state: State,
    /// Counts moves: a call that began before one has no vote.
    epoch: u64,
}

enum State {
    Closed {
        failures: u32,
    },
    Open {
        since: Duration,
    },
    HalfOpen {
        /// When the round began, which identifies it.
        round: Duration,
        /// When the probes in flight began.
        probes: Vec<Duration>,
        good: u32,
        bad: u32,
    },
    /// A round took so long that time may have decided it; the next call shows how.
    Unclear {
        round: Duration,
    },
}

/// What a breaker reports.
#[derive(Clone, Copy)]
pub(crate) struct Real {
    pub(crate) state: &'static str,
    /// When it last moved, on the world's clock.
    pub(crate) moved_at: Duration,
}

impl State {
    fn first_probe(now: Duration, real: Real) -> Self {
        Self::HalfOpen {
            round: real.moved_at,
            probes: vec![now],
            good: 0,
            bad: 0,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Model {
    /// A call begins while the node's breaker reports this. Returns the call's epoch.
    pub(super) fn call_begins(
        &mut self,
        now: Duration,
        real: Real,
        settings: &BreakerSettings,
    ) -> (u64, Option<String>) {
        let problem = match (&mut self.state, real.state) {
            (_, "open") => Some("a call while it is open".to_owned()),
            (State::Closed { .. }, "closed") => None,
            (State::Closed { .. }, _) => Some("it is half-open, and nothing was wrong".to_owned()),
            (State::Open { since }, _) if real.moved_at < *since + settings.open => Some(format!(
                "it opened at {since:?} for at least {:?}, and there is a call at {now:?}",
                settings.open
            )),
            (State::Open { .. }, "closed") => Some("it closed without a probe".to_owned()),
            (
                State::HalfOpen {
                    round,
                    probes,
                    good,
                    bad,
                },
                "half_open",
            ) if *round == real.moved_at => {
                // A probe as old as a whole window is given up.
                probes.retain(|began| now < *began + HALF_OPEN_UNDECIDED);
                probes.push(now);
                let (under_way, sample) = (probes.len() as u32, probes.len() as u32 + *good + *bad);
                (under_way > settings.half_open_in_flight || sample > settings.half_open_samples)
                    .then(|| format!("{under_way} probes under way, {sample} in the round"))
            }
            (State::HalfOpen { round, good, bad, .. }, "closed") => {
                let by_time = real.moved_at >= *round + HALF_OPEN_UNDECIDED && *good > 0 && *bad == 0;
                let problem = (!by_time).then(|| format!("it closed after {good} good and {bad} bad probes"));
                self.enter(State::Closed { failures: 0 });
                problem
            }
            (State::HalfOpen { round, bad, .. }, _) => {
                let by_time = real.moved_at >= *round + HALF_OPEN_UNDECIDED && *bad > 0;
                let problem =
                    (!by_time).then(|| "it began another round before this one was decided".to_owned());
                self.enter(State::first_probe(now, real));
                problem
            }
            (State::Unclear { .. }, "closed") => {
                self.enter(State::Closed { failures: 0 });
                None
            }
            (State::Unclear { round }, _) if *round == real.moved_at => None,
            (State::Open { .. } | State::Unclear { .. }, _) => {
                self.enter(State::first_probe(now, real));
                None
            }
        };
        (self.epoch, problem)
    }

    pub(super) fn call_ends(
        &mut self,
        now: Duration,
        epoch: u64,
        call: &CallRecord,
        settings: &BreakerSettings,
    ) {
        let Some((_, end)) = &call.ended else { return };
        if epoch != self.epoch {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => {
                match verdict(end) {
                    Some(Verdict::Success) => *failures = 0,
                    Some(Verdict::Failure) => *failures += 1,
                    _ => {}
                }
                if *failures >= settings.error_threshold {
                    self.enter(State::Open { since: now });
                }
            }
            State::HalfOpen {
                round,
                probes,
                good,
                bad,
            } => {
                let (round, samples) = (*round, settings.half_open_samples);
                if let Some(place) = probes.iter().position(|began| *began == call.began) {
                    probes.remove(place);
                }
                match verdict(end) {
                    Some(Verdict::Failure) => *bad += 1,
                    Some(_) => *good += 1,
                    None => {}
                }
                if now >= round + HALF_OPEN_UNDECIDED {
                    self.enter(State::Unclear { round });
                } else if *good * 3 >= samples * 2 {
                    self.enter(State::Closed { failures: 0 });
                } else if samples.saturating_sub(*bad) * 3 < samples * 2 {
                    self.enter(State::Open { since: now });
                }
            }
            State::Open { .. } | State::Unclear { .. } => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Success,
    Answered,
    Failure,
}

fn verdict(end: &CallEnd) -> Option<Verdict> {
    match end {
        CallEnd::Answered(SendResult::Success { .. }) => Some(Verdict::Success),
        CallEnd::Answered(SendResult::RateLimited { .. } | SendResult::Rejected { .. }) => {
            Some(Verdict::Answered)
        }
        CallEnd::Answered(SendResult::Error { .. } | SendResult::Timeout) | CallEnd::TimedOut => {
            Some(Verdict::Failure)
        }
        CallEnd::Panicked | CallEnd::Abandoned => None,
    }
}

/// Every counted move is a legal one.
pub(super) fn check_edges<'a>(
    metrics: impl Iterator<Item = &'a Metrics>,
    problems: &mut Vec<(&'static str, String)>,
) {
    let counted = Counted::read(metrics);
    for (series, _) in counted.series("breaker_transitions_total") {
        let legal = EDGES.iter().any(|(from, to)| {
            series.contains(&format!("from=\"{from}\"")) && series.contains(&format!("to=\"{to}\""))
        });
        if !legal {
            problems.push((RULE, format!("it made a move that does not exist: {series}")));
        }
    }
}
