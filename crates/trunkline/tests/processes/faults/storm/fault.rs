use domain::Entropy;

/// What goes wrong. A number is the place of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and a new start.
    KillNode(usize),
    /// All nodes at the same moment.
    KillAllNodes,
    /// SIGTERM and a new start, one node after the other.
    ReplaceNodes,
    /// A node stands still until everything it held is somebody else's, and then goes on as if nothing had been.
    FreezeNode(usize),
    /// All processes of PostgreSQL end on the spot, and it starts again.
    CrashDatabase,
    /// PostgreSQL stands still: no connection breaks, and nothing answers.
    FreezeDatabase,
}

/// A fault, and what is to happen before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How many messages are accepted first.
    pub(crate) after: usize,
    pub(crate) fault: Fault,
}

/// Strikes without end, in rounds: each has every kind of fault, in an order of its own.
pub(crate) struct Strikes {
    entropy: Entropy,
    round: Vec<Fault>,
}

/// How many strikes a round has.
pub(crate) const ROUND: usize = 7;

/// The fewest and the most messages that are accepted between two faults: less and more than what is left behind by the
/// first takes to be dealt with.
const AFTER_MIN: u64 = 20;
const AFTER_MAX: u64 = 400;

impl Fault {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillNode(_) => "a node killed",
            Self::KillAllNodes => "both nodes killed",
            Self::ReplaceNodes => "nodes replaced",
            Self::FreezeNode(_) => "a node frozen",
            Self::CrashDatabase => "database crashed",
            Self::FreezeDatabase => "database frozen",
        }
    }
}

impl Strikes {
    /// Those that belong to a seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            entropy: Entropy::from_seed(seed).child("strikes"),
            round: Vec::new(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    fn new_round(&self) -> [Fault; ROUND] {
        [
            Fault::KillNode(0),
            Fault::KillNode(1),
            Fault::KillAllNodes,
            Fault::ReplaceNodes,
            Fault::FreezeNode(self.below(2) as usize),
            Fault::CrashDatabase,
            Fault::FreezeDatabase,
        ]
    }
}

impl Iterator for Strikes {
    type Item = Strike;

    fn next(&mut self) -> Option<Strike> {
        if self.round.is_empty() {
            self.round = self.new_round().into();
        }
        let drawn = self.below(self.round.len() as u64) as usize;
        Some(Strike {
            after: (AFTER_MIN + self.below(AFTER_MAX - AFTER_MIN)) as usize,
            fault: self.round.swap_remove(drawn),
        })
    }
}

#[test]
fn the_seed_decides_the_strikes_and_every_round_has_all_kinds() {
    let strikes = |seed| Strikes::of(seed).take(5 * ROUND).collect::<Vec<_>>();
    assert_eq!(strikes(7), strikes(7));
    assert_ne!(strikes(7), strikes(8));
    for round in strikes(7).chunks(ROUND) {
        let mut names: Vec<&str> = round.iter().map(|strike| strike.fault.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            names.len(),
            ROUND - 1,
            "two places have a kill of their own: {round:?}"
        );
    }
}
