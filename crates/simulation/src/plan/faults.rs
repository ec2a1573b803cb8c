use std::time::Duration;

use super::Settings;
use crate::draw::Draw;

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// A node loses all it had in memory, after so many more polls of its tasks: in the middle of anything.
    Crash {
        /// Which node.
        node: usize,
        /// Polls it still makes.
        polls: u32,
        /// Until it is started again.
        down: Duration,
    },
    /// A node stands still, and goes on as if nothing had been.
    Freeze {
        /// Which node.
        node: usize,
        /// Polls it still makes.
        polls: u32,
        /// For how long.
        lasting: Duration,
        /// Whether its wall clock stands still with it, as that of a machine that is suspended.
        clock_too: bool,
    },
    /// A node is told to stop, and started again.
    Restart {
        /// Which node.
        node: usize,
        /// What it has to finish.
        within: Duration,
    },
    /// A node is told to stop, and started again without one of its providers.
    ProviderRemoved {
        /// Which node.
        node: usize,
        /// Which provider.
        provider: usize,
        /// What the node has to finish, each time it is told to stop.
        within: Duration,
        /// Until it is started again with all of them; never, when that is not said.
        lasting: Option<Duration>,
    },
    /// The wall clock of a node is set.
    ClockJump {
        /// Which node.
        node: usize,
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// Nobody reaches the store; what is under way is not answered.
    StoreAway {
        /// For how long.
        lasting: Duration,
        /// Whether connections hang instead of being refused.
        hanging: bool,
    },
    /// The store takes its time.
    StoreSlow {
        /// For how long.
        lasting: Duration,
        /// How long a transaction may take to begin.
        up_to: Duration,
    },
    /// Connections to the store break around the commit.
    StoreFlaky {
        /// For how long.
        lasting: Duration,
        /// How many in a thousand transactions break.
        permille: u32,
    },
    /// One kind of statement fails in one way; the others do not.
    StatementFails {
        /// Which statement.
        statement: Statement,
        /// How it fails.
        failure: StoreFailure,
        /// How many in a thousand fail.
        permille: u32,
        /// For how long.
        lasting: Duration,
    },
    /// A provider is in a health.
    Health {
        /// Which provider.
        provider: usize,
        /// How it behaves.
        health: Health,
        /// For how long.
        lasting: Duration,
    },
}

/// What a node asks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Storing new messages.
    Accept,
    /// Taking due messages.
    Claim,
    /// Recording attempts.
    Settle,
    /// Whatever changes nothing.
    Read,
}

/// How a statement fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing happened, and that is said.
    Unavailable,
    /// It happened or not, and neither is said.
    OutcomeUnknown,
    /// Nothing happened, and never will, it is said: what an operator took away, such as a right, comes back all the same.
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
    /// It never answers, and takes nothing.
    Hanging,
    /// It takes messages and never says so.
    AnswersLost,
    /// It asks to slow down.
    Limiting,
    /// It answers about when the call times out.
    Slow,
    /// A bit of everything.
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

/// How many kinds of faults there are to choose from.
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

/// How many in a thousand worlds have nodes whose configuration loses a provider.
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

/// Any time, or soon after many clients came at once.
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
