//! An event on its way to an endpoint.

use std::time::Duration;

use domain::{ConversationId, Event, EventSubject, Timestamp, WebhookEndpointId};
use store::{ANSWER_KEPT_BYTES, DELIVERY_ATTEMPTS_KEPT, DeliveryAttempt};

/// The attempts of a delivery whose answers are kept, the latest.
pub(super) const ANSWERS_KEPT: usize = 2;

/// Events that must arrive in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum LaneKey {
    Conversation(ConversationId),
    Endpoint(WebhookEndpointId),
}

impl LaneKey {
    pub(super) fn of(event: &Event) -> Self {
        match &event.subject {
            EventSubject::Message { conversation_id, .. } => Self::Conversation(*conversation_id),
            EventSubject::WebhookEndpoint { id, .. } => Self::Endpoint(*id),
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) event: Event,
    pub(super) on_record: bool,
    pub(super) in_flight: bool,
    /// Not called before, as the endpoint asked.
    pub(super) not_before: Duration,
    pub(super) due: Duration,
    /// Oldest first.
    pub(super) attempts: Vec<DeliveryAttempt>,
    /// Since when it waits behind an event that was parked.
    pub(super) held_since: Option<Timestamp>,
}

impl Entry {
    /// Since when the event is tried, or waits behind one that was parked; `None` without either.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.held_since.or(self.attempts.first().map(|first| first.at))
    }
}

/// Adds an attempt within the bounds: the first attempt and the latest are kept, and the answers of the latest.
pub(super) fn record(attempts: &mut Vec<DeliveryAttempt>, attempt: DeliveryAttempt) {
    debug_assert!(attempt.answer.len() <= ANSWER_KEPT_BYTES);
    attempts.push(attempt);
    if attempts.len() > DELIVERY_ATTEMPTS_KEPT {
        attempts.remove(1);
    }
    if let Some(old) = attempts.len().checked_sub(ANSWERS_KEPT + 1) {
        attempts[old].answer = Box::default();
    }
}
