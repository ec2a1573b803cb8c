//! Schedules that once found a bug, under the name of that bug. They run before all others.

#[derive(Debug, Clone, Copy)]
pub struct NamedSeed {
    /// What it found.
    pub name: &'static str,
    pub seed: u64,
}

/// Oldest first. A seed means the same schedule only until the generator of plans changes. After such a change plant the bug
/// again, find a seed that catches it, and replace the number.
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
