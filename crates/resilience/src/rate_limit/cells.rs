//! The cells of one limit, bounded in number.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use super::gcra::{self, Allowance, Decision, Quota};

/// One GCRA cell for each key. Not synchronised: whoever shares it puts a lock around it.
///
/// At most `cells_max` cells are kept, the memory for their index is taken at once, and the least recently asked
/// one goes first, in constant time. A key that was let go starts full again. That gives an attacker with
/// `cells_max` different keys a fresh burst for each, which he has anyway; for everybody else it makes no
/// difference as long as a cell is not evicted within the minute it needs to fill up.
///
/// The index hashes with a random seed, so nobody can choose colliding keys; no result depends on that seed,
/// because nothing here walks over the index.
#[derive(Debug)]
pub struct RateLimiter<K: Hash + Eq> {
    quota: Quota,
    arrival_times: LruCache<K, Duration>,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// Full cells for every key; `cells_max` is how many are remembered.
    #[must_use]
    pub fn new(quota: Quota, cells_max: NonZeroUsize) -> Self {
        Self {
            quota,
            arrival_times: LruCache::new(cells_max),
        }
    }

    /// Asks for one request of `key`, and charges it when allowed.
    ///
    /// A refusal advances no cell, but keeps it from eviction: a client must not get a fresh burst by insisting.
    pub fn check(&mut self, key: &K, now: Duration) -> Decision {
        let known = self.arrival_times.get_mut(key);
        let decision = gcra::check(known.as_deref().copied(), now, self.quota);
        if let Decision::Allowed { tat, .. } = decision {
            match known {
                Some(cell) => *cell = tat,
                None => {
                    self.arrival_times.put(key.clone(), tat);
                }
            }
        }
        decision
    }

    /// Gives a request back to `key` that was allowed with the arrival time `charged` and came to nothing, and tells what
    /// the key holds now.
    pub fn refund(&mut self, key: &K, charged: Duration, now: Duration) -> Allowance {
        let tat = gcra::refund(self.arrival_times.peek(key).copied(), charged, now, self.quota);
        match (tat, self.arrival_times.peek_mut(key)) {
            (Some(tat), Some(cell)) => *cell = tat,
            _ => {
                self.arrival_times.pop(key);
            }
        }
        gcra::allowance(tat, now, self.quota)
    }

    /// What `key` holds, without asking for anything.
    #[must_use]
    pub fn allowance(&self, key: &K, now: Duration) -> Allowance {
        gcra::allowance(self.arrival_times.peek(key).copied(), now, self.quota)
    }

    /// The quota every cell has.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Cells kept at the moment, at most `cells_max`.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.arrival_times.len()
    }
}
