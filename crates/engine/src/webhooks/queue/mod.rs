//! Which events an endpoint gets when, and what a checkpoint stores: a pure state machine.
//!
//! Events come in from the log and wait in a **lane** per conversation, in their order. Only the head of a lane is called. An event
//! that fails at first becomes a delivery on record at the next checkpoint, and so do the events behind it in its lane: the
//! cursor, and with it the other conversations, go on. Two bounds hold deliveries on record: of those that failed at least once
//! and of all. At the second, the oldest of the longest lane are parked if others got through; otherwise reading stops.

mod entry;
mod park;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{DeliveryStatus, DisabledReason, Event, EventId, EventType, Timestamp};
use store::{DeliveryAttempt, Endpoint, KeptDelivery, PendingPage, WebhookDelivery};

use super::schedule::{self, GIVE_UP_AFTER};
use entry::{Entry, LaneKey, record};

/// Events of an endpoint that failed and are tried again, at most. Each has at most [`ANSWERS_KEPT`](entry::ANSWERS_KEPT) answers.
const FAILING_MAX: usize = 1_000;
/// Pending deliveries on record of an endpoint, at most; only a replay makes more. All but the failing ones wait behind one of
/// these and are small.
const HELD_MAX: usize = 10_000;
/// Events in memory that are neither delivered nor on record, at most.
const FRESH_MAX: usize = 256;
/// Calls at the same time, at most.
pub(super) const CALLS_MAX: usize = 32;
/// Events that got through before the cursor, at most. Then those that hold the cursor back are put on record.
const AHEAD_MAX: usize = 1_000;
/// An endpoint that let nothing through for this long was away. With the first success, all pending deliveries are due.
const OUTAGE_AFTER: Duration = Duration::from_secs(5);
/// Events whose first attempts must have failed in it. It keeps a few events that always fail from being tried again with each
/// success of others.
const OUTAGE_EVENTS_MIN: u32 = 2;
/// A Retry-After with 429 or 503 holds all calls to an endpoint for this long at most, and its own event as long as it says.
const PAUSE_MAX: Duration = Duration::from_secs(60);

const GONE: u16 = 410;
const TOO_MANY_REQUESTS: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// How a call ended.
#[derive(Debug, Clone)]
pub(super) struct CallResult {
    pub(super) delivered: bool,
    pub(super) attempt: DeliveryAttempt,
    pub(super) retry_after: Option<Duration>,
}

/// The changing part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) cursor: EventId,
    pub(super) kept: Vec<KeptDelivery>,
    pub(super) done: Vec<EventId>,
    pub(super) delivered: u64,
    pub(super) failing: bool,
    pub(super) disable: Option<DisabledReason>,
}

/// Both clocks: durations are monotonic, attempts are recorded and given up by the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    pub(super) wall: Timestamp,
}

#[derive(Debug)]
pub(super) struct Queue {
    types: Option<Vec<EventType>>,
    entries: BTreeMap<EventId, Entry>,
    lanes: BTreeMap<LaneKey, BTreeSet<EventId>>,
    /// Heads of lanes that are not being called, by their due time.
    callable: BTreeSet<(Duration, EventId)>,
    in_flight: usize,
    /// Entries with attempts.
    failing: usize,
    /// Deliveries on record that the log has not reached yet, in a replay.
    unreached: BTreeSet<EventId>,
    /// Entries that are not on record: the cursor stays before them.
    fresh: BTreeSet<EventId>,
    /// Delivered while an earlier event was still fresh.
    ahead: BTreeSet<EventId>,
    /// The log was read up to here.
    read_to: EventId,
    /// Up to here, all pending deliveries are in memory. `None` without an end.
    known_to: Option<EventId>,
    pause_until: Duration,
    /// By the wall clock and the monotonic one: the first failure since the last success.
    failing_since: Option<(Timestamp, Duration)>,
    /// Events whose first attempt failed since the last success.
    first_failures: u32,
    last_success: Option<Timestamp>,
    /// The cursor of the last checkpoint.
    stored: EventId,
    to_keep: BTreeSet<EventId>,
    given_up: Vec<KeptDelivery>,
    done: Vec<EventId>,
    delivered: u64,
    disable: Option<DisabledReason>,
}

impl Queue {
    /// Without the deliveries on record: see [`Queue::wants_deliveries`].
    pub(super) fn new(endpoint: &Endpoint, now: Duration) -> Self {
        Self {
            known_to: Some(EventId::START),
            types: endpoint.config.types.clone(),
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            callable: BTreeSet::new(),
            in_flight: 0,
            failing: 0,
            unreached: BTreeSet::new(),
            fresh: BTreeSet::new(),
            ahead: BTreeSet::new(),
            read_to: endpoint.cursor,
            pause_until: now,
            // The outage began before this node knew: the monotonic origin is early enough.
            failing_since: endpoint.failing_since.map(|since| (since, Duration::ZERO)),
            first_failures: endpoint.failing_since.map_or(0, |_| OUTAGE_EVENTS_MIN),
            last_success: endpoint.last_delivered_at,
            stored: endpoint.cursor,
            to_keep: BTreeSet::new(),
            given_up: Vec::new(),
            done: Vec::new(),
            delivered: 0,
            disable: None,
        }
    }

    /// After which event to load more deliveries on record; `None` if all are in memory, or as many as fit.
    pub(super) fn wants_deliveries(&self) -> Option<EventId> {
        let room = self.entries.len() < HELD_MAX && self.disable.is_none();
        self.known_to.filter(|_| room)
    }

    /// Takes the deliveries on record that follow.
    pub(super) fn load(&mut self, page: PendingPage, now: Duration) {
        let PendingPage {
            deliveries,
            read_at,
            is_last,
        } = page;
        let last = deliveries.last().map(|last| last.event.id);
        self.known_to = if is_last { None } else { last.or(self.known_to) };
        for delivery in deliveries {
            self.load_one(delivery, read_at, now);
        }
    }

    fn load_one(&mut self, delivery: WebhookDelivery, read_at: Timestamp, now: Duration) {
        let WebhookDelivery {
            event,
            due_at,
            attempts,
            ..
        } = delivery;
        if !self.takes(event.kind) {
            self.done.push(event.id);
            return;
        }
        let due = now + due_at.map_or(Duration::ZERO, |due| due.saturating_since(read_at));
        self.insert(Entry {
            event,
            on_record: true,
            in_flight: false,
            not_before: Duration::ZERO,
            due,
            attempts,
            held_since: None,
        });
    }

    /// Where to read the log, and how many events; `None` while no more are taken.
    pub(super) fn wants(&self) -> Option<(EventId, u32)> {
        let full = self.fresh.len() > FRESH_MAX / 2
            || self.ahead.len() >= 2 * AHEAD_MAX
            || self.failing + FRESH_MAX > FAILING_MAX
            || self.is_full();
        let known = self.known_to.is_none_or(|known_to| self.read_to < known_to);
        if full || !known || self.disable.is_some() {
            return None;
        }
        let room = u32::try_from(FRESH_MAX - self.fresh.len()).unwrap_or(u32::MAX);
        Some((self.read_to, room))
    }

    /// Takes the events that follow in the log.
    pub(super) fn read(&mut self, events: Vec<Event>, now: Duration) {
        for event in events {
            if let Some(known_to) = self.known_to.filter(|known_to| event.id > *known_to) {
                self.skip_to(known_to);
                break;
            }
            self.skip_to(event.id);
            if !self.entries.contains_key(&event.id) && self.takes(event.kind) {
                self.insert(Entry {
                    event,
                    on_record: false,
                    in_flight: false,
                    not_before: Duration::ZERO,
                    due: now,
                    attempts: Vec::new(),
                    held_since: None,
                });
            }
        }
    }

    /// Goes on after a place before which there is nothing more to read.
    pub(super) fn skip_to(&mut self, start: EventId) {
        self.read_to = self.read_to.max(start);
        while let Some(id) = self.unreached.first().copied().filter(|id| *id <= self.read_to) {
            self.unreached.remove(&id);
            if let Some(entry) = self.entries.get(&id) {
                self.offer_head(LaneKey::of(&entry.event));
            }
        }
    }

    /// The next event to call the endpoint with, if one is due.
    pub(super) fn next(&mut self, now: Duration) -> Option<Event> {
        if self.in_flight >= CALLS_MAX || now < self.pause_until || self.disable.is_some() {
            return None;
        }
        let (due, id) = *self.callable.first()?;
        if due > now {
            return None;
        }
        self.callable.pop_first();
        let entry = self.entries.get_mut(&id)?;
        entry.in_flight = true;
        self.in_flight += 1;
        Some(entry.event.clone())
    }

    /// When [`Queue::next`] may return another event; `None` if only a result or more events can bring one.
    pub(super) fn next_due(&self) -> Option<Duration> {
        if self.in_flight >= CALLS_MAX || self.disable.is_some() {
            return None;
        }
        let (due, _) = self.callable.first()?;
        Some((*due).max(self.pause_until))
    }

    /// Takes back an event that was not called after all.
    pub(super) fn put_back(&mut self, id: EventId, due: Duration) {
        self.end_call(id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.due = due;
            let lane = LaneKey::of(&entry.event);
            self.offer_head(lane);
        }
    }

    /// Takes the result of a call.
    pub(super) fn finish(&mut self, id: EventId, result: CallResult, now: Now, random: u64) {
        self.end_call(id);
        if result.delivered {
            self.succeed(id, now);
        } else {
            self.fail(id, result, now, random);
        }
    }

    fn succeed(&mut self, id: EventId, now: Now) {
        let Some(entry) = self.remove(id) else { return };
        if entry.on_record {
            self.done.push(id);
        } else {
            self.ahead.insert(id);
        }
        self.delivered += 1;
        self.last_success = Some(now.wall);
        let outage = self
            .failing_since
            .take()
            .is_some_and(|(_, since)| now.monotonic.saturating_sub(since) >= OUTAGE_AFTER)
            && self.first_failures >= OUTAGE_EVENTS_MIN;
        self.first_failures = 0;
        if outage {
            self.make_all_due(now.monotonic);
        }
        self.free_lane(LaneKey::of(&entry.event), now.monotonic);
    }

    fn fail(&mut self, id: EventId, result: CallResult, now: Now, random: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let CallResult {
            attempt, retry_after, ..
        } = result;
        let status = attempt.status;
        let is_first = entry.attempts.is_empty();
        self.first_failures += u32::from(is_first);
        self.failing += usize::from(is_first);
        record(&mut entry.attempts, attempt);
        let began = entry.began().unwrap_or(now.wall);
        let age = now.wall.saturating_since(began);
        let (failing_since, _) = *self.failing_since.get_or_insert((now.wall, now.monotonic));
        let others_got_through = self.last_success.is_some_and(|success| success > began);
        let lane = LaneKey::of(&entry.event);
        if let (Some(TOO_MANY_REQUESTS | UNAVAILABLE), Some(pause)) = (status, retry_after) {
            self.pause_until = self.pause_until.max(now.monotonic + pause.min(PAUSE_MAX));
        }
        if status == Some(GONE) {
            self.disable = Some(DisabledReason::Gone);
        } else if age >= GIVE_UP_AFTER && others_got_through {
            self.park(&[id], now.monotonic);
            return;
        } else if now.wall.saturating_since(failing_since) >= GIVE_UP_AFTER {
            self.disable = Some(DisabledReason::Failing);
        }
        let delay = schedule::delay(entry.attempts.len(), age, retry_after, random);
        entry.due = now.monotonic + delay;
        entry.not_before = now.monotonic + retry_after.unwrap_or_default().min(delay);
        self.offer_head(lane);
        self.to_keep.insert(id);
        if let Some(ids) = self.lanes.get(&lane) {
            self.to_keep.extend(ids.intersection(&self.fresh));
        }
    }

    /// What to store now. The caller stores it, or drops the queue.
    pub(super) fn checkpoint(&mut self, now: Duration) -> Progress {
        self.make_room(now);
        self.record_what_holds_the_cursor();
        let mut kept = std::mem::take(&mut self.given_up);
        for id in std::mem::take(&mut self.to_keep) {
            let is_head = self.is_head(id);
            if let Some(entry) = self.entries.get_mut(&id) {
                // A delivery that only waits is on record as it is.
                if entry.on_record && entry.attempts.is_empty() {
                    continue;
                }
                entry.on_record = true;
                self.fresh.remove(&id);
                kept.push(KeptDelivery {
                    event: entry.event.clone(),
                    status: DeliveryStatus::Pending,
                    due_in: is_head.then(|| entry.due.saturating_sub(now)),
                    attempts: entry.attempts.clone(),
                });
            }
        }
        let cursor = self.cursor();
        let failing = self.failing_since.is_some();
        let done = std::mem::take(&mut self.done);
        let delivered = std::mem::take(&mut self.delivered);
        self.stored = cursor;
        self.ahead = self.ahead.split_off(&cursor);
        Progress {
            cursor,
            kept,
            done,
            delivered,
            failing,
            disable: self.disable,
        }
    }

    /// Whether a checkpoint would store more than a new place of the cursor.
    pub(super) fn has_progress(&self) -> bool {
        let rows = !self.to_keep.is_empty() || !self.given_up.is_empty() || !self.done.is_empty();
        rows || self.delivered > 0 || self.disable.is_some()
    }

    /// Whether the cursor moved since the last checkpoint, perhaps over events of other types only.
    pub(super) fn has_moved(&self) -> bool {
        self.cursor() != self.stored
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.disable.is_some()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Pending deliveries, and those that a checkpoint is about to store.
    pub(super) fn pending(&self) -> usize {
        self.entries.len() - self.fresh.len() + self.waiting_for_record()
    }

    /// When the oldest event that is not delivered happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.values().next().map(|entry| entry.event.at)
    }

    fn takes(&self, kind: EventType) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&kind))
    }

    fn cursor(&self) -> EventId {
        let before = |id: &EventId| EventId::new(id.get().saturating_sub(1)).unwrap_or_default();
        self.fresh.first().map_or(self.read_to, before)
    }

    fn waiting_for_record(&self) -> usize {
        self.to_keep.iter().filter(|id| self.fresh.contains(id)).count()
    }

    fn record_what_holds_the_cursor(&mut self) {
        if let Some(newest) = self.ahead.last().filter(|_| self.ahead.len() > AHEAD_MAX) {
            self.to_keep.extend(self.fresh.range(..newest));
        }
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.event.id;
        let lane = LaneKey::of(&entry.event);
        let fresh = !entry.on_record;
        self.failing += usize::from(!entry.attempts.is_empty());
        if id > self.read_to {
            self.unreached.insert(id);
        }
        self.entries.insert(id, entry);
        let ids = self.lanes.entry(lane).or_default();
        ids.insert(id);
        if fresh {
            self.fresh.insert(id);
            let behind_failed = ids
                .first()
                .and_then(|head| self.entries.get(head))
                .is_some_and(|head| !head.attempts.is_empty());
            if behind_failed {
                self.to_keep.insert(id);
            }
        }
        self.offer_head(lane);
    }

    fn remove(&mut self, id: EventId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let lane = LaneKey::of(&entry.event);
        if let Some(ids) = self.lanes.get_mut(&lane) {
            ids.remove(&id);
            if ids.is_empty() {
                self.lanes.remove(&lane);
            }
        }
        self.failing -= usize::from(!entry.attempts.is_empty());
        self.callable.remove(&(entry.due, id));
        self.fresh.remove(&id);
        self.to_keep.remove(&id);
        Some(entry)
    }

    fn end_call(&mut self, id: EventId) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.in_flight) {
            entry.in_flight = false;
            self.in_flight -= 1;
        }
    }

    /// Makes the head of a lane callable, unless it is being called. A delivery that the log has not reached yet waits, so that
    /// a replay keeps the order.
    fn offer_head(&mut self, lane: LaneKey) {
        let head = self.lanes.get(&lane).and_then(|ids| ids.first().copied());
        let Some(head) = head.filter(|head| *head <= self.read_to) else {
            return;
        };
        if let Some(entry) = self.entries.get(&head).filter(|entry| !entry.in_flight) {
            self.callable.insert((entry.due, head));
        }
    }

    /// The head of a lane is gone: the next is due now, unless it has failed before.
    fn free_lane(&mut self, lane: LaneKey, now: Duration) {
        let head = self.lanes.get(&lane).and_then(|ids| ids.first());
        let head = head.and_then(|head| self.entries.get_mut(head));
        if let Some(head) = head.filter(|head| head.attempts.is_empty()) {
            head.due = now;
        }
        self.offer_head(lane);
    }

    fn is_head(&self, id: EventId) -> bool {
        let lane = self.entries.get(&id).map(|entry| LaneKey::of(&entry.event));
        let head = lane.and_then(|lane| self.lanes.get(&lane)?.first());
        head == Some(&id)
    }

    fn make_all_due(&mut self, now: Duration) {
        for (_, id) in std::mem::take(&mut self.callable) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.due = entry.due.min(now.max(entry.not_before));
                self.callable.insert((entry.due, id));
            }
        }
    }
}
