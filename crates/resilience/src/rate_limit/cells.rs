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
    cells: LruCache<K, Cell>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    tat: Duration,
    /// Requests that were let through and may still come to nothing.
    reserved: u32,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// Full cells for every key; `cells_max` is how many are remembered.
    #[must_use]
    pub fn new(quota: Quota, cells_max: NonZeroUsize) -> Self {
        Self {
            quota,
            cells: LruCache::new(cells_max),
        }
    }

    /// Asks for one request of `key`, and charges it when allowed.
    ///
    /// A refusal advances no cell, but keeps it from eviction: a client must not get a fresh burst by insisting.
    pub fn check(&mut self, key: &K, now: Duration) -> Decision {
        let decision = self.decide(key, now);
        if decision.is_allowed() {
            self.charge(key, now);
        }
        decision
    }

    /// Asks for one request of `key` that may still come to nothing. When it is allowed, its place is taken until
    /// [`commit`](Self::commit) charges it or [`refund`](Self::refund) frees it: exactly one of the two must follow.
    ///
    /// Charging only what came to something is what keeps those within burst and rate exactly. Charging at once and
    /// refunding is not: by then time has given back a part of the charge, or of another one.
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

    /// Charges a reserved request, now, and tells what the key holds.
    pub fn commit(&mut self, key: &K, now: Duration) -> Allowance {
        self.free(key, now);
        self.charge(key, now);
        self.allowance(key, now)
    }

    /// Frees the place of a reserved request that came to nothing, and tells what the key holds.
    pub fn refund(&mut self, key: &K, now: Duration) -> Allowance {
        self.free(key, now);
        self.allowance(key, now)
    }

    /// What `key` holds, without asking for anything.
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

    /// A cell that was let go meanwhile has started full again: it holds no place to be freed.
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
