//! Schedules that once found something, kept under the name of what they found. They run before all others.

/// A schedule worth keeping.
#[derive(Debug, Clone, Copy)]
pub struct NamedSeed {
    /// What it found.
    pub name: &'static str,
    /// Its seed.
    pub seed: u64,
}

/// All of them, oldest first. A seed stands for the same schedule only until the generator of plans changes: after such a
/// change, look for a seed that finds the same mistake again (plant it, and run), and replace the number.
pub const NAMED_SEEDS: &[NamedSeed] = &[
    NamedSeed {
        name: "refunds after other refunds gave a sender more than its share",
        seed: 1446,
    },
    NamedSeed {
        name: "refunds after other refunds left a sender less than its share",
        seed: 459,
    },
    NamedSeed {
        name: "a node that had stood still settled one message twice in a batch",
        seed: 201_346,
    },
    NamedSeed {
        name: "the same in another world",
        seed: 200_530,
    },
    NamedSeed {
        name: "a request told of an earlier message was stored when the key of that one was gone: it was the checker that was wrong",
        seed: 1285,
    },
];
