use std::time::Duration;

use domain::Entropy;

/// Draws from one stream of random numbers.
#[derive(Debug)]
pub(crate) struct Draw(Entropy);

impl Draw {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self(Entropy::from_seed(seed))
    }

    /// A stream of its own for one use; see [`Entropy::child`].
    pub(crate) fn child(&self, label: &str) -> Self {
        Self(self.0.child(label))
    }

    pub(crate) fn entropy(&self, label: &str) -> Entropy {
        self.0.child(label)
    }

    /// Uniform below `bound`, which is not 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform, both ends included.
    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in `permille` of a thousand draws.
    pub(crate) fn permille(&self, share: u32) -> bool {
        share > 0 && self.below(1_000) < u64::from(share)
    }

    pub(crate) fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Whole milliseconds, both ends included.
    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }
}
