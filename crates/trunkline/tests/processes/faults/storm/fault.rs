use domain::Entropy;

/// A fault. A number is the place of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and a new start.
    KillNode(usize),
    /// All nodes at the same moment.
    KillAllNodes,
    /// SIGTERM and a new start, one node after the other.
    ReplaceNodes,
    /// A node freezes until another node holds all its leases, then continues.
    FreezeNode(usize),
    /// PostgreSQL crashes and restarts.
    CrashDatabase,
    /// PostgreSQL freezes: connections stay open without answers.
    FreezeDatabase,
    /// PostgreSQL takes no writes for a while, and takes them again without breaking a connection.
    ReadOnlyDatabase,
    /// PostgreSQL ends all connections of all nodes.
    KillBackends,
}

/// A lasting fault, with another one in the middle of it. Messages are accepted all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The link between the nodes and PostgreSQL is slow.
    SlowLink,
    /// Another session holds locks on entries of the outbox.
    LockedRows,
    /// The nodes may not record attempts.
    RevokedRights,
    /// The node in this place lacks a provider.
    UnequalNode(usize),
}

/// A fault, and what happens before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    /// Messages that are accepted first.
    pub(crate) after: usize,
    pub(crate) fault: Fault,
    /// The lasting fault around it.
    pub(crate) meanwhile: Option<Trouble>,
}

/// Endless strikes in rounds: each round has every kind of fault, in its own order.
pub(crate) struct Strikes {
    entropy: Entropy,
    round: Vec<Fault>,
}

/// Strikes of a round.
pub(crate) const ROUND: usize = 9;

/// Fewest and most messages that are accepted between two faults: the first fault's effects may or may not be over.
const AFTER_MIN: u64 = 20;
const AFTER_MAX: u64 = 400;

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillNode(_) => "a node killed",
            Self::KillAllNodes => "both nodes killed",
            Self::ReplaceNodes => "nodes replaced",
            Self::FreezeNode(_) => "a node frozen",
            Self::CrashDatabase => "database crashed",
            Self::FreezeDatabase => "database frozen",
            Self::ReadOnlyDatabase => "database read-only",
            Self::KillBackends => "connections killed",
        }
    }

    /// Whether the fault can be carried out during this lasting one.
    fn overlaps(self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::SlowLink => true,
            // The other node could not take over the frozen node's leases.
            Trouble::UnequalNode(_) => !matches!(self, Self::FreezeNode(_)),
            // Entries of a frozen node could not be taken over, and a stopping node could not settle.
            Trouble::LockedRows | Trouble::RevokedRights => {
                !matches!(self, Self::FreezeNode(_) | Self::ReplaceNodes)
            }
        }
    }
}

impl Trouble {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SlowLink => "while the link is slow",
            Self::LockedRows => "while rows are locked",
            Self::RevokedRights => "while attempts cannot be recorded",
            Self::UnequalNode(_) => "while a node lacks a provider",
        }
    }
}

impl Strikes {
    /// The strikes of a seed.
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
            Fault::ReadOnlyDatabase,
            Fault::KillBackends,
        ]
    }

    /// Three quarters of the faults strike in the middle of another one.
    fn trouble(&self, fault: Fault) -> Option<Trouble> {
        let place = self.below(2) as usize;
        let troubles = [
            Trouble::SlowLink,
            Trouble::LockedRows,
            Trouble::RevokedRights,
            Trouble::UnequalNode(place),
        ];
        let possible: Vec<Trouble> = troubles
            .into_iter()
            .filter(|trouble| fault.overlaps(*trouble))
            .collect();
        let drawn = self.below(4) > 0;
        drawn.then(|| possible[self.below(possible.len() as u64) as usize])
    }
}

impl Iterator for Strikes {
    type Item = Strike;

    fn next(&mut self) -> Option<Strike> {
        if self.round.is_empty() {
            self.round = self.new_round().into();
        }
        let drawn = self.below(self.round.len() as u64) as usize;
        let after = (AFTER_MIN + self.below(AFTER_MAX - AFTER_MIN)) as usize;
        let fault = self.round.swap_remove(drawn);
        Some(Strike {
            after,
            fault,
            meanwhile: self.trouble(fault),
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
        for strike in round {
            assert!(
                strike
                    .meanwhile
                    .is_none_or(|trouble| strike.fault.overlaps(trouble))
            );
        }
    }
}
