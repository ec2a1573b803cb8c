//! The entries that a lane holds in memory until a worker takes them, bounded in number and in bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use store::Leased;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes of content that a lane holds in memory, calls under way included: the largest message that the default settings
/// allow for each of a hundred workers. One claim may exceed it.
const HELD_BYTES_MAX: usize = 32 << 20;

/// An entry leased to this node.
pub(super) struct Held {
    pub(super) leased: Leased,
    /// By [`lease_clock`](super::lane::lease_clock).
    pub(super) lease_ends: Duration,
    /// By the monotonic clock.
    pub(super) deadline_ends: Duration,
    /// For an accepted entry: its place among those for accepts, until a worker takes it.
    place: Option<OwnedSemaphorePermit>,
    /// Freed when the entry is processed.
    _weight: Weight,
}

/// A lane's queue. Three quarters of the places are for messages just accepted: one that finds no place must be claimed, which
/// costs another transaction. The rest is for claims, so that neither keeps the other waiting.
pub(super) struct Queue {
    entries: mpsc::Sender<Held>,
    places_for_accepts: Arc<Semaphore>,
    room: Arc<Room>,
}

/// A place in the queue for a message that is being accepted.
pub(super) struct QueuePlace {
    entry: mpsc::OwnedPermit<Held>,
    place: OwnedSemaphorePermit,
    weight: Weight,
}

#[derive(Default)]
struct Room {
    held_bytes: AtomicUsize,
    /// Notified when a place or memory becomes free.
    freed: Notify,
}

/// Bytes of a lane's memory, taken until it is dropped.
struct Weight {
    room: Arc<Room>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(size: usize) -> (Self, mpsc::Receiver<Held>) {
        let (entries, waiting) = mpsc::channel(size);
        let queue = Self {
            entries,
            places_for_accepts: Arc::new(Semaphore::new(accepts_max(size))),
            room: Arc::default(),
        };
        (queue, waiting)
    }

    /// A place for a message that is about to be accepted; `None` when there is no room.
    pub(super) fn reserve(&self, bytes: usize) -> Option<QueuePlace> {
        // Part of the memory is for claims, as part of the places is.
        if accepts_max(HELD_BYTES_MAX) < self.held_bytes().saturating_add(bytes) {
            return None;
        }
        Some(QueuePlace {
            place: Arc::clone(&self.places_for_accepts).try_acquire_owned().ok()?,
            entry: self.entries.clone().try_reserve_owned().ok()?,
            weight: Weight::of(&self.room, bytes),
        })
    }

    /// Puts a claimed entry in. Returns it when the lane is stopping.
    pub(super) async fn put(
        &self,
        leased: Leased,
        lease_ends: Duration,
        deadline_ends: Duration,
    ) -> Result<(), Leased> {
        let held = Held {
            _weight: Weight::of(&self.room, leased.content.bytes()),
            leased,
            lease_ends,
            deadline_ends,
            place: None,
        };
        self.entries.send(held).await.map_err(|refused| refused.0.leased)
    }

    pub(super) fn size(&self) -> usize {
        self.entries.max_capacity()
    }

    /// Places that are taken.
    pub(super) fn len(&self) -> usize {
        self.size() - self.entries.capacity()
    }

    /// Places that a claim may fill now: none while too many bytes are held.
    pub(super) fn room_for_claims(&self) -> usize {
        if self.held_bytes() >= HELD_BYTES_MAX {
            return 0;
        }
        let accepts_max = accepts_max(self.size());
        let accepted = accepts_max.saturating_sub(self.places_for_accepts.available_permits());
        let claimed = self.len().saturating_sub(accepted);
        (self.size() - accepts_max).max(1).saturating_sub(claimed)
    }

    /// A worker has taken this entry: its place is free, its bytes are still held.
    pub(super) fn taken(&self, held: &mut Held) {
        held.place = None;
        self.room.freed.notify_one();
    }

    /// Completes when a place or memory becomes free. A dropped [`QueuePlace`] does not count.
    pub(super) async fn freed(&self) {
        self.room.freed.notified().await;
    }

    fn held_bytes(&self) -> usize {
        self.room.held_bytes.load(Ordering::Relaxed)
    }
}

impl QueuePlace {
    pub(super) fn fill(self, leased: Leased, lease_ends: Duration, deadline_ends: Duration) {
        self.entry.send(Held {
            leased,
            lease_ends,
            deadline_ends,
            place: Some(self.place),
            _weight: self.weight,
        });
    }
}

impl Weight {
    fn of(room: &Arc<Room>, bytes: usize) -> Self {
        room.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = Arc::clone(room);
        Self { room, bytes }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        if self.room.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed) >= HELD_BYTES_MAX {
            self.room.freed.notify_one();
        }
    }
}

/// The part of a whole that is for messages just accepted.
fn accepts_max(whole: usize) -> usize {
    (whole * 3 / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_the_smallest_queue_has_a_place_for_accepts() {
        let places = (1..=8).map(accepts_max).collect::<Vec<_>>();
        assert_eq!(places, [1, 1, 2, 3, 3, 4, 5, 6]);
    }
}
