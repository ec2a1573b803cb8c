//! The event logs of the model and of the store under test. They give their events other ids, and may order the events of one
//! command differently; those about one message or endpoint are in the same order.

use std::collections::BTreeMap;

use domain::{Event, EventId, EventSubject, Timestamp};
use trunkline_store::Store;

use super::pair::Pair;
use crate::{builders::instant, walks::all_events};

/// All events that were ever written, and the ends of the logs after each command.
#[derive(Default)]
pub(super) struct Logs {
    ours: Vec<Event>,
    theirs: Vec<Event>,
    ends: Vec<[EventId; 2]>,
}

/// The message or endpoint that an event is about.
fn about(event: &Event) -> String {
    match &event.subject {
        EventSubject::Message { message_id, .. } => message_id.to_string(),
        EventSubject::WebhookEndpoint { id, .. } => id.to_string(),
    }
}

fn end(events: &[Event]) -> EventId {
    events.last().map_or(EventId::START, |event| event.id)
}

fn by_subject(events: &[Event]) -> BTreeMap<String, Vec<Event>> {
    let mut subjects: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events {
        let event = Event {
            id: EventId::START,
            ..event.clone()
        };
        subjects.entry(about(&event)).or_default().push(event);
    }
    subjects
}

impl Logs {
    pub(super) fn ours(&self) -> &[Event] {
        &self.ours
    }

    /// The store's event that is the same as one of the model's.
    pub(super) fn theirs(&self, ours: EventId) -> &Event {
        let place = self.ours.iter().position(|event| event.id == ours).unwrap();
        let subject = about(&self.ours[place]);
        let same = |event: &&Event| about(event) == subject;
        let before = self.ours[..place].iter().filter(same).count();
        self.theirs.iter().filter(same).nth(before).unwrap()
    }

    /// The end of the logs after a command, counted from the last.
    pub(super) fn end_before(&self, commands: usize) -> [EventId; 2] {
        let place = self.ends.len().checked_sub(commands + 1);
        place.map_or([EventId::START; 2], |place| self.ends[place])
    }

    /// The latest of those ends that is not before a place in the model's log.
    pub(super) fn end_from(&self, ours: EventId, commands: usize) -> [EventId; 2] {
        let chosen = self.end_before(commands);
        if chosen[0] >= ours {
            chosen
        } else {
            self.end_before(0)
        }
    }

    /// How many events the model and the store have at or before their places.
    pub(super) fn ranks(&self, [ours, theirs]: [EventId; 2]) -> [usize; 2] {
        let rank = |events: &[Event], place| events.iter().filter(|event| event.id <= place).count();
        [rank(&self.ours, ours), rank(&self.theirs, theirs)]
    }
}

impl Pair {
    /// What the latest command wrote.
    pub(super) async fn compare_log(&mut self) {
        let ours = all_events(&self.model, end(&self.log.ours)).await;
        let theirs = all_events(&*self.store, end(&self.log.theirs)).await;
        assert!(theirs.is_sorted_by(|one, next| one.id < next.id), "{theirs:?}");
        let expected: Vec<Event> = ours
            .iter()
            .cloned()
            .map(|event| self.numbered_event(event))
            .collect();
        let found: Vec<Event> = theirs.iter().cloned().map(|event| self.timed(event)).collect();
        assert_eq!(by_subject(&expected), by_subject(&found));
        self.log.ours.extend(ours);
        self.log.theirs.extend(theirs);
        let [ours, theirs] = [self.model_log().await, self.store.event_log().await.unwrap()];
        for places in [[ours.start, theirs.start], [ours.end, theirs.end]] {
            let [ours, theirs] = self.log.ranks(places);
            assert_eq!(ours, theirs);
        }
        self.log.ends.push([ours.end, theirs.end]);
    }

    async fn model_log(&self) -> trunkline_store::EventLog {
        let model: &dyn Store = &self.model;
        model.event_log().await.unwrap()
    }

    fn timed(&self, event: Event) -> Event {
        let at: Timestamp = if self.exactly { event.at } else { instant(0) };
        Event { at, ..event }
    }

    /// An event of the model with the store's number of its conversation.
    pub(super) fn numbered_event(&self, mut event: Event) -> Event {
        if let EventSubject::Message { conversation_id, .. } = &mut event.subject {
            *conversation_id = self.conversations[conversation_id];
        }
        self.timed(event)
    }
}
