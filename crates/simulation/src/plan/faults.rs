use std::time::Duration;

use super::Settings;
use crate::draw::Draw;

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Since the start.
    pub at: Duration,
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// A node dies and loses its memory after so many more polls of its tasks, and so in the middle of something.
    Crash {
        node: usize,
        /// Polls it still makes.
        polls: u32,
        /// Until it is started again.
        down: Duration,
    },
    /// A node stands still, then continues as if nothing had happened.
    Freeze {
        node: usize,
        /// Polls it still makes.
        polls: u32,
        lasting: Duration,
        /// Whether its wall clock stops with it, as on a suspended machine.
        clock_too: bool,
    },
    /// A node is stopped and started again.
    Restart {
        node: usize,
        /// The time it has to finish.
        within: Duration,
    },
    /// A node is stopped and started again without one of its providers.
    ProviderRemoved {
        node: usize,
        provider: usize,
        /// The time it has to finish, at each stop.
        within: Duration,
        /// Until it is started again with all of them; `None`: never.
        lasting: Option<Duration>,
    },
    /// The wall clock of a node jumps.
    ClockJump { node: usize, by_ms: i64 },
    /// The store is unreachable; statements under way are not answered.
    StoreAway {
        lasting: Duration,
        /// Whether connections hang instead of being refused.
        hanging: bool,
    },
    /// The store is slow.
    StoreSlow {
        lasting: Duration,
        /// How long a transaction may take to begin.
        up_to: Duration,
    },
    /// Connections to the store break around the commit.
    StoreFlaky {
        lasting: Duration,
        /// Share of transactions that break.
        permille: u32,
    },
    /// One kind of statement fails in one way.
    StatementFails {
        statement: Statement,
        failure: StoreFailure,
        /// Share of statements that fail.
        permille: u32,
        lasting: Duration,
    },
    /// The health of a provider changes.
    Health {
        provider: usize,
        health: Health,
        lasting: Duration,
    },
}

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Accepts.
    Accept,
    /// Claims.
    Claim,
    /// Settlements.
    Settle,
    /// Reads.
    Read,
}

/// How a statement fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing happened, and the error says so.
    Unavailable,
    /// Whether it happened is unknown.
    OutcomeUnknown,
    /// Refused for good, such as for a missing right, which the operator restores later.
    Refused,
}

impl Statement {
    pub(crate) const ALL: [Self; 4] = [Self::Accept, Self::Claim, Self::Settle, Self::Read];
}

impl StoreFailure {
    pub(crate) const ALL: [Self; 3] = [Self::Unavailable, Self::OutcomeUnknown, Self::Refused];
}

/// How a provider behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It takes everything.
    Well,
    /// It answers with errors.
    Failing,
    /// It takes nothing and never answers.
    Hanging,
    /// It takes messages and never answers.
    AnswersLost,
    /// It answers with 429.
    Limiting,
    /// It answers about when the call times out.
    Slow,
    /// Any of the others, for each call.
    Mixed,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Failing => "failing",
            Self::Hanging => "hanging",
            Self::AnswersLost => "answers lost",
            Self::Limiting => "limiting",
            Self::Slow => "slow",
            Self::Mixed => "mixed",
        }
    }
}

pub(super) const KINDS: usize = 7;

const HEALTHS: [Health; 8] = [
    Health::Failing,
    Health::Hanging,
    Health::AnswersLost,
    Health::Limiting,
    Health::Slow,
    Health::Mixed,
    Health::Mixed,
    Health::Mixed,
];

pub(super) fn draw(draw: &Draw, settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    for kind in &settings.fault_kinds {
        for _ in 0..draw.between(1, 5) {
            faults.push(Fault {
                at: moment(draw, settings),
                kind: fault(draw, *kind, settings.nodes),
            });
        }
    }
    if settings.providers_misbehave {
        for _ in 0..draw.between(1, 8) {
            let kind = FaultKind::Health {
                provider: draw.below(2) as usize,
                health: draw.pick(&HEALTHS),
                lasting: draw.millis(1_000, 40_000),
            };
            faults.push(Fault {
                at: moment(draw, settings),
                kind,
            });
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Share of worlds with nodes that lose a provider from their configuration.
const REMOVALS_PERMILLE: u32 = 250;

/// Adds faults of the configuration.
pub(super) fn draw_removals(draw: &Draw, settings: &Settings, faults: &mut Vec<Fault>) {
    if !draw.permille(REMOVALS_PERMILLE) {
        return;
    }
    for _ in 0..draw.between(1, 4) {
        let kind = FaultKind::ProviderRemoved {
            node: draw.below(settings.nodes as u64) as usize,
            provider: draw.below(2) as usize,
            within: draw.millis(100, 10_000),
            lasting: draw.permille(700).then(|| draw.millis(1_000, 60_000)),
        };
        let at = moment(draw, settings);
        faults.push(Fault { at, kind });
    }
    faults.sort_by_key(|fault| fault.at);
}

/// Any time, or soon after a burst of clients.
pub(super) fn moment(draw: &Draw, settings: &Settings) -> Duration {
    if settings.bursts.is_empty() || draw.permille(500) {
        return draw.millis(0, settings.chaos.as_millis() as u64);
    }
    draw.pick(&settings.bursts) + draw.millis(0, 1_000)
}

fn fault(draw: &Draw, kind: usize, nodes: usize) -> FaultKind {
    let node = draw.below(nodes as u64) as usize;
    let polls = if draw.permille(500) {
        0
    } else {
        draw.between(1, 60) as u32
    };
    match kind {
        0 => FaultKind::Crash {
            node,
            polls,
            down: draw.millis(10, 20_000),
        },
        1 => FaultKind::Freeze {
            node,
            polls,
            lasting: draw.millis(1_000, 50_000),
            clock_too: draw.permille(700),
        },
        2 => FaultKind::Restart {
            node,
            within: draw.millis(100, 10_000),
        },
        3 => FaultKind::ClockJump {
            node,
            by_ms: draw.between(0, 7_200_000) as i64 - 3_600_000,
        },
        4 => FaultKind::StoreAway {
            lasting: draw.millis(100, 20_000),
            hanging: draw.permille(300),
        },
        5 => FaultKind::StoreSlow {
            lasting: draw.millis(1_000, 20_000),
            up_to: draw.millis(50, 4_000),
        },
        _ => FaultKind::StoreFlaky {
            lasting: draw.millis(1_000, 30_000),
            permille: draw.pick(&[20, 100, 400]),
        },
    }
}
