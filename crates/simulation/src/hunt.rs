//! Whether the simulation notices bugs.

use mutants::Mutant;

use crate::{Violation, campaign::run_seed};

/// Schedules in which a planted bug must show itself.
pub const SEEDS_MAX: u64 = 200;

/// The first seed that catches a planted bug, and the broken rule; `None` if [`SEEDS_MAX`] seeds do not catch it.
#[must_use]
pub fn hunt(mutant: Mutant) -> Option<(u64, Violation)> {
    mutants::choose(Some(mutant));
    let caught = (0..SEEDS_MAX).find_map(|seed| {
        let violation = run_seed(seed).violations.into_iter().next()?;
        Some((seed, violation))
    });
    mutants::choose(None);
    caught
}
