//! How much goes into one transaction, learned from how long the last ones took.
//!
//! A transaction that takes too long times out and does nothing, and its repeat would take as long again. A smaller batch
//! fits a slow link or disk.

use std::time::Duration;

/// The size of the next batch, in the unit of its owner: bytes or messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    size: usize,
    min: usize,
    max: usize,
    target: Duration,
}

impl BatchSize {
    /// Begins with `first`, stays within `min..=max`, and aims at batches that take no longer than `target`.
    ///
    /// # Panics
    /// Unless `1 <= min <= first <= max`.
    #[must_use]
    pub fn new(min: usize, first: usize, max: usize, target: Duration) -> Self {
        assert!(1 <= min && min <= first && first <= max, "{min}, {first}, {max}");
        Self {
            size: first,
            min,
            max,
            target,
        }
    }

    /// How much the next batch may hold. An item larger than this goes alone.
    #[must_use]
    pub fn get(&self) -> usize {
        self.size
    }

    /// A batch of `size` succeeded and took `took`. If it was quick and used its room, the next may be twice as large; if
    /// it was slow, the next is as large as fits the target.
    pub fn succeeded(&mut self, size: usize, took: Duration) {
        if took > self.target {
            self.shrink(self.fitting(size, took));
        } else if took <= self.target / 2 && size > self.size / 2 {
            self.size = self.size.saturating_mul(2).min(self.max);
        }
    }

    /// A batch of `size` failed after `took`, perhaps because it was too large. The next has half of it, or what fits the
    /// target if that is less.
    pub fn failed(&mut self, size: usize, took: Duration) {
        self.shrink(self.fitting(size, took).min(size / 2));
    }

    fn fitting(&self, size: usize, took: Duration) -> usize {
        (size as f64 * self.target.as_secs_f64() / took.as_secs_f64()) as usize
    }

    fn shrink(&mut self, size: usize) {
        self.size = self.size.min(size.max(self.min));
    }
}
