use std::{collections::VecDeque, mem::size_of};

use domain::{ErrorCode, Event, EventId};

/// Memory for recent events.
const RING_BYTES_MAX: usize = 4 << 20;
/// What an event takes at most. An error code is its only part outside the struct.
const EVENT_BYTES: usize = size_of::<Event>() + ErrorCode::CHARS_MAX;
const RING_EVENTS_MAX: usize = RING_BYTES_MAX / EVENT_BYTES;

/// A part of the log without gaps: all its events after `start`, up to `end`.
#[derive(Debug, Default)]
pub(super) struct Ring {
    events: VecDeque<Event>,
    start: EventId,
    end: EventId,
}

impl Ring {
    /// Forgets all events and goes on from this place.
    pub(super) fn restart(&mut self, at: EventId) {
        *self = Self {
            events: VecDeque::new(),
            start: at,
            end: at,
        };
    }

    /// Adds the events that follow the present end, and lets the oldest go.
    pub(super) fn append(&mut self, events: Vec<Event>) {
        for event in events {
            self.end = event.id;
            self.events.push_back(event);
            if self.events.len() > RING_EVENTS_MAX
                && let Some(oldest) = self.events.pop_front()
            {
                self.start = oldest.id;
            }
        }
    }

    /// Forgets the events up to this place.
    pub(super) fn forget(&mut self, place: EventId) {
        while self.events.front().is_some_and(|event| event.id <= place) {
            self.events.pop_front();
        }
        self.start = self.start.max(place.min(self.end));
    }

    /// Up to `limit` events after a place; `None` if that place is before the ring.
    pub(super) fn after(&self, place: EventId, limit: usize) -> Option<Vec<Event>> {
        Some(self.all_after(place)?.take(limit).cloned().collect())
    }

    /// Whether an event after a place matters: yes also if that place is before the ring, and nothing is known of some events.
    pub(super) fn has(&self, place: EventId, matters: impl Fn(&Event) -> bool) -> bool {
        self.all_after(place).is_none_or(|mut events| events.any(matters))
    }

    pub(super) fn end(&self) -> EventId {
        self.end
    }

    fn all_after(&self, place: EventId) -> Option<impl Iterator<Item = &Event>> {
        let first = self.events.partition_point(|event| event.id <= place);
        (place >= self.start).then(|| self.events.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use domain::{EventSubject, EventType, Timestamp};

    use super::*;

    fn id(number: usize) -> EventId {
        EventId::new(number as u64).unwrap()
    }

    fn event(number: usize) -> Event {
        Event {
            id: id(number),
            kind: EventType::MessageAccepted,
            at: Timestamp::EARLIEST,
            subject: EventSubject::Message {
                message_id: "018bcfe5-6800-7004-8000-000000000001".parse().unwrap(),
                conversation_id: "1".parse().unwrap(),
                reason: None,
                error_code: None,
            },
        }
    }

    fn ids(events: Option<Vec<Event>>) -> Option<Vec<u64>> {
        events.map(|events| events.iter().map(|event| event.id.get()).collect())
    }

    #[test]
    fn it_knows_what_follows_a_place_and_nothing_from_before_its_start() {
        let mut ring = Ring::default();
        ring.restart(id(10));
        assert_eq!(ids(ring.after(id(10), 5)), Some(vec![]));
        ring.append(vec![event(12), event(13), event(20)]);
        assert_eq!(ids(ring.after(id(9), 5)), None);
        assert_eq!(ids(ring.after(id(10), 2)), Some(vec![12, 13]));
        assert_eq!(ids(ring.after(id(11), 5)), Some(vec![12, 13, 20]));
        assert_eq!(ids(ring.after(id(12), 5)), Some(vec![13, 20]));
        assert_eq!(ids(ring.after(id(20), 5)), Some(vec![]));
        assert_eq!(ids(ring.after(id(99), 5)), Some(vec![]));
        assert!(ring.has(id(9), |_| false));
        assert!(!ring.has(id(10), |_| false));
        assert!(ring.has(id(12), |event| event.id == id(13)));
        assert!(!ring.has(id(13), |event| event.id == id(13)));
    }

    #[test]
    fn deleted_events_are_forgotten() {
        let mut ring = Ring::default();
        ring.restart(id(10));
        ring.append(vec![event(12), event(13), event(20)]);
        ring.forget(id(5));
        assert_eq!(ids(ring.after(id(10), 5)), Some(vec![12, 13, 20]));
        ring.forget(id(13));
        assert_eq!(ids(ring.after(id(12), 5)), None);
        assert_eq!(ids(ring.after(id(13), 5)), Some(vec![20]));
        // Later events, which the ring has not read yet.
        ring.forget(id(99));
        assert_eq!(ids(ring.after(id(20), 5)), Some(vec![]));
    }

    #[test]
    fn the_oldest_events_leave_when_memory_is_full() {
        let mut ring = Ring::default();
        let last = RING_EVENTS_MAX + 7;
        ring.append((1..=last).map(event).collect());
        assert_eq!(ids(ring.after(id(6), 1)), None);
        assert_eq!(ids(ring.after(id(7), 1)), Some(vec![8]));
        assert_eq!(ids(ring.after(id(last - 1), 9)), Some(vec![last as u64]));
        assert!(ring.events.capacity() * EVENT_BYTES <= 2 * RING_BYTES_MAX);
    }
}
