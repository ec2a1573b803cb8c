//! The cells of one limit, bounded in number.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use super::gcra::{self, Allowance, Decision, Quota};

/// One GCRA cell for each key. Not synchronised: the owner locks it.
///
/// At most `cells_max` cells are kept; their index is allocated at the start. The least recently used cell is evicted first, in
/// constant time, and its key starts full again. An attacker with `cells_max` keys gains nothing: each of them has a burst
/// anyway. Other clients are affected only if their cell is evicted within the minute it needs to fill up.
///
/// The index hashes with a random seed, so that a client cannot choose colliding keys. No result depends on the seed: this
/// code never iterates over the index.
#[derive(Debug)]
pub struct RateLimiter<K: Hash + Eq> {
    quota: Quota,
    cells: LruCache<K, Cell>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    tat: Duration,
    /// Requests that were allowed and are not decided yet.
    reserved: u32,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// `cells_max` is how many keys are remembered.
    #[must_use]
    pub fn new(quota: Quota, cells_max: NonZeroUsize) -> Self {
        Self {
            quota,
            cells: LruCache::new(cells_max),
        }
    }

    /// Asks for one request of `key`, and charges it if it is allowed.
    ///
    /// A refusal does not change the cell, but counts as a use: a client must not be evicted, and so get a fresh burst, by
    /// insisting.
    pub fn check(&mut self, key: &K, now: Duration) -> Decision {
        let decision = self.decide(key, now);
        if decision.is_allowed() {
            self.charge(key, now);
        }
        decision
    }

    /// Asks for one request of `key` that may still fail. If it is allowed, its place is taken until exactly one of
    /// [`commit`](Self::commit) and [`refund`](Self::refund) follows.
    ///
    /// Charging only committed requests keeps the limit exact. Charging at once and refunding later would not: by then time has
    /// already given back a part of the charge.
    pub fn reserve(&mut self, key: &K, now: Duration) -> Decision {
        let decision = self.decide(key, now);
        if decision.is_allowed() {
            let full = || Cell {
                tat: now,
                reserved: 0,
            };
            self.cells.get_or_insert_mut(key.clone(), full).reserved += 1;
        }
        decision
    }

    /// Charges a reserved request now, and returns what the key has left.
    pub fn commit(&mut self, key: &K, now: Duration) -> Allowance {
        self.free(key, now);
        self.charge(key, now);
        self.allowance(key, now)
    }

    /// Frees the place of a reserved request that failed, and returns what the key has left.
    pub fn refund(&mut self, key: &K, now: Duration) -> Allowance {
        self.free(key, now);
        self.allowance(key, now)
    }

    /// What `key` has left.
    #[must_use]
    pub fn allowance(&self, key: &K, now: Duration) -> Allowance {
        let cell = self.cells.peek(key).copied();
        gcra::allowance(self.tat(cell, now), now, self.quota)
    }

    fn decide(&mut self, key: &K, now: Duration) -> Decision {
        let cell = self.cells.get(key).copied();
        gcra::check(self.tat(cell, now), now, self.quota)
    }

    fn charge(&mut self, key: &K, now: Duration) {
        let cell = self.cells.peek(key).copied();
        let tat = gcra::charge(cell.map(|cell| cell.tat), now, self.quota);
        let reserved = cell.map_or(0, |cell| cell.reserved);
        self.cells.put(key.clone(), Cell { tat, reserved });
    }

    /// A cell that was evicted meanwhile started full again and holds no place.
    fn free(&mut self, key: &K, now: Duration) {
        let Some(cell) = self.cells.peek_mut(key) else {
            return;
        };
        cell.reserved = cell.reserved.saturating_sub(1);
        if cell.reserved == 0 && cell.tat <= now {
            self.cells.pop(key);
        }
    }

    fn tat(&self, cell: Option<Cell>, now: Duration) -> Option<Duration> {
        let Cell { tat, reserved } = cell?;
        gcra::with_reserved(Some(tat), reserved, now, self.quota)
    }
}
