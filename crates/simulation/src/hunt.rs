//! Whether the simulation notices bugs.

use mutants::Mutant;

use crate::{Plan, Violation, campaign::run_seed};

/// Schedules in which a planted bug must show itself, of those whose worlds have what it needs.
pub const SEEDS_MAX: usize = 500;

/// The first seed that catches a planted bug, and the broken rule; `None` if [`SEEDS_MAX`] seeds do not catch it.
#[must_use]
pub fn hunt(mutant: Mutant) -> Option<(u64, Violation)> {
    mutants::choose(Some(mutant));
    let fits = |seed: &u64| !mutant.needs_lifecycle() || Plan::of(*seed).settings.lifecycle.is_some();
    let caught = (0..).filter(fits).take(SEEDS_MAX).find_map(|seed| {
        let violation = run_seed(seed).violations.into_iter().next()?;
        Some((seed, violation))
    });
    mutants::choose(None);
    caught
}
