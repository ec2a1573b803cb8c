//! Sets events of a failing conversation aside, so that the others go on.

use std::time::Duration;

use domain::{DeliveryStatus, EventId};
use store::KeptDelivery;

use super::{
    FRESH_MAX, HELD_MAX, Queue,
    entry::{Entry, LaneKey},
};

/// Events parked by one checkpoint to make room, at most.
const PARKED_AT_ONCE_MAX: usize = 500;

impl Queue {
    /// Sets the first events of a lane aside as failed; the events behind them go on. The next has been held as long as they were,
    /// so if all fail for three days, it is parked with its first failure.
    pub(super) fn park(&mut self, ids: &[EventId], now: Duration) {
        for id in ids {
            let Some(entry) = self.remove(*id) else { continue };
            let lane = LaneKey::of(&entry.event);
            let next = self.lanes.get(&lane).and_then(|ids| ids.first());
            if let Some(next) = next.and_then(|next| self.entries.get_mut(next)) {
                next.held_since = entry.began().map(|began| began.max(next.event.at));
            }
            self.given_up.push(KeptDelivery {
                event: entry.event,
                status: DeliveryStatus::Failed,
                due_in: None,
                attempts: entry.attempts,
            });
            if ids.last() == Some(id) {
                // The cursor passes them with the same checkpoint, or the log would yield them again.
                self.to_keep.extend(self.fresh.range(..id));
                self.free_lane(lane, now);
            }
        }
    }

    /// If deliveries on record reach their bound, parks the oldest of the lane that has the most, so that the other conversations go
    /// on. Not if nothing got through since that lane began to fail, or its head is due: then the endpoint may be or have been
    /// away, and reading stops meanwhile.
    pub(super) fn make_room(&mut self, now: Duration) {
        if !self.is_full() {
            return;
        }
        let is_held = |head: &Entry| {
            let failed_again = head.attempts.len() > 1 || head.held_since.is_some();
            let others_got_through = head.began().is_some_and(|began| self.last_success > Some(began));
            !head.in_flight && head.due > now && failed_again && others_got_through
        };
        let held = self.lanes.values().filter(|ids| {
            let head = ids.first().and_then(|head| self.entries.get(head));
            head.is_some_and(is_held)
        });
        let Some(longest) = held.max_by_key(|ids| ids.len()) else {
            return;
        };
        let reached = longest.iter().copied().take_while(|id| *id <= self.read_to);
        let oldest: Vec<_> = reached.take(PARKED_AT_ONCE_MAX).collect();
        self.park(&oldest, now);
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending() - self.unreached.len() + FRESH_MAX > HELD_MAX
    }
}
