//! Observes receipts, cancellations, and the readers of the event log.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Event, EventId, LeaseToken, MessageId, ProviderMessageId, Receipt, Timestamp, WebhookEndpointId,
};
use store::{Accept, Accepted, Checkpoint, LeasedEndpoint};
use store_model::Memory;

use super::{
    super::{Taken, calls, events::Walk},
    Observer,
};
use crate::world::Arrival;

const RULE_TOKEN: &str = "14: no stale lease token ever stores progress of an endpoint";
pub(super) const RULE_CANCELED: &str = "17: canceled => no provider saw it after the 200";

/// What happened to messages beside dispatch.
#[derive(Default)]
pub(super) struct Seen {
    /// Calls whose message was taken, in this order.
    pub(super) taken: Vec<Taken>,
    pub(super) canceled: BTreeSet<MessageId>,
    pub(super) walks: Vec<Walk>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) delivered_up_to: Option<EventId>,
    /// Those that were acknowledged.
    pub(super) receipts: Vec<Receipt>,
    /// When clients want messages to be sent.
    scheduled: BTreeMap<MessageId, Timestamp>,
    /// The latest lease of each webhook endpoint.
    leases: BTreeMap<WebhookEndpointId, LeaseToken>,
}

impl Seen {
    pub(super) fn accepted(&mut self, batch: &[Accept], accepted: &[Accepted]) {
        for (accept, accepted) in batch.iter().zip(accepted) {
            if let (Accepted::New { .. }, Some(send_at)) = (accepted, accept.message.schedule.send_at) {
                self.scheduled.insert(accept.id, send_at);
            }
        }
    }

    /// What is wrong with a call of this message now.
    pub(super) fn may_call(&self, id: MessageId, now: Timestamp) -> Option<(&'static str, String)> {
        if self.canceled.contains(&id) {
            return Some((RULE_CANCELED, "it was canceled".to_owned()));
        }
        let send_at = self.scheduled.get(&id).filter(|send_at| **send_at > now)?;
        Some((calls::RULE_DUE, format!("it was scheduled for {send_at}")))
    }
}

impl Observer {
    /// A cancellation was acknowledged.
    pub(crate) fn canceled(&self, id: MessageId) {
        let (mut inner, now) = self.now();
        inner.trace.note(now, "canceled", &[("message", id.into())]);
        inner.seen.canceled.insert(id);
    }

    /// A receipt was acknowledged.
    pub(crate) fn reported(&self, receipt: Receipt) {
        let (mut inner, now) = self.now();
        let status = receipt.status.as_str().into();
        inner.trace.note(now, "receipt", &[("status", status)]);
        inner.seen.receipts.push(receipt);
    }

    pub(crate) fn leased_endpoints(&self, leased: &[LeasedEndpoint]) {
        let leases = leased.iter().map(|leased| (leased.endpoint.id, leased.token));
        self.inner().seen.leases.extend(leases);
    }

    /// A checkpoint was stored.
    pub(crate) fn stored_progress(&self, checkpoint: &Checkpoint) {
        let (mut inner, now) = self.now();
        let Checkpoint { id, token, .. } = checkpoint;
        if inner.seen.leases.get(id) != Some(token) {
            let detail = format!("a checkpoint of endpoint {id} under {token:?} was stored");
            inner.find(now, RULE_TOKEN, detail);
        }
    }

    /// A transaction may have changed any entry of the outbox.
    pub(crate) fn outbox_changed(&self, memory: &Memory) {
        self.inner().fencing.keep_all(memory);
    }

    /// The calls whose message was taken since the last time.
    pub(crate) fn taken_after(&self, seen: &mut usize) -> Vec<Taken> {
        let inner = self.inner();
        let new = inner.seen.taken[*seen..].to_vec();
        *seen = inner.seen.taken.len();
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
        inner.seen.walks.push(Walk {
            after,
            seen: Vec::new(),
        });
        inner.seen.walks.len() - 1
    }

    pub(crate) fn walked(&self, walk: usize, events: &[Event]) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "walk",
            &[("walk", walk.into()), ("events", events.len().into())],
        );
        inner.seen.walks[walk]
            .seen
            .extend(events.iter().map(|event| event.id));
    }

    /// Every endpoint has every event up to this one.
    pub(crate) fn all_delivered(&self, end: EventId) {
        self.inner().seen.delivered_up_to = Some(end);
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
        inner.seen.arrivals.push(arrival);
    }
}
