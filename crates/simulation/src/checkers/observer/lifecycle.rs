//! Observes receipts, cancellations, and the readers of the event log.

use domain::{Event, EventId, MessageId, ProviderMessageId};
use store_model::Memory;

use super::{
    super::{Taken, events::Walk},
    Observer,
};
use crate::world::Arrival;

pub(super) const RULE_CANCELED: &str = "17: canceled => no provider saw it after the 200";

impl Observer {
    /// A cancellation was acknowledged.
    pub(crate) fn canceled(&self, id: MessageId) {
        let (mut inner, now) = self.now();
        inner.trace.note(now, "canceled", &[("message", id.into())]);
        inner.canceled.insert(id);
    }

    /// A transaction may have changed any entry of the outbox.
    pub(crate) fn outbox_changed(&self, memory: &Memory) {
        self.inner().fencing.keep_all(memory);
    }

    /// The calls whose message was taken since the last time.
    pub(crate) fn taken_after(&self, seen: &mut usize) -> Vec<Taken> {
        let inner = self.inner();
        let new = inner.taken[*seen..].to_vec();
        *seen = inner.taken.len();
        new
    }

    /// The id that a provider gives the message of a call.
    pub(crate) fn provider_message_id(&self, call: usize) -> ProviderMessageId {
        let inner = self.inner();
        Taken::of(&inner.calls[call]).provider_message_id()
    }

    /// A reader begins to walk over the event log.
    pub(crate) fn walk_began(&self, after: EventId) -> usize {
        let mut inner = self.inner();
        inner.walks.push(Walk {
            after,
            seen: Vec::new(),
        });
        inner.walks.len() - 1
    }

    pub(crate) fn walked(&self, walk: usize, events: &[Event]) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "walk",
            &[("walk", walk.into()), ("events", events.len().into())],
        );
        inner.walks[walk].seen.extend(events.iter().map(|event| event.id));
    }

    /// A webhook arrived.
    pub(crate) fn arrived(&self, arrival: Arrival) {
        let (mut inner, now) = self.now();
        let facts = [
            ("receiver", arrival.receiver.into()),
            ("event", (arrival.event.get() as i64).into()),
            ("taken", arrival.taken.into()),
        ];
        inner.trace.note(now, "webhook", &facts);
        inner.arrivals.push(arrival);
    }
}
