use std::{fmt, time::Duration};

use async_trait::async_trait;
use domain::{
    DeliveryStatus, DisabledReason, Event, EventId, EventType, LeaseToken, Page, PageRequest, Timestamp,
    WebhookEndpointId, WebhookPayload,
};

use crate::{StoreError, instant_after};

/// Webhook endpoints, and how far each is in the event log.
///
/// An endpoint has a cursor into the log: every event up to it is delivered, or has a row of its own here, a [`WebhookDelivery`]. One node
/// at a time delivers to an endpoint: it holds a lease with a token that grows with every lease. Whatever changes an endpoint
/// (but for a checkpoint) takes the lease away, so that the holder reads it again.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Stores an endpoint that gets the events after the present end of the log. `None` if there are `max` endpoints.
    async fn create_endpoint(&self, endpoint: &NewEndpoint, max: u32)
    -> Result<Option<Endpoint>, StoreError>;

    /// All endpoints, oldest first.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError>;

    /// Changes what the change names, and returns the endpoint after it; `None` for an unknown one.
    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError>;

    /// Deletes an endpoint and its deliveries; false for an unknown one.
    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError>;

    /// Starts to deliver past events again, and returns the endpoint after it; `None` for an unknown one. It is durable: a restart
    /// continues it.
    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError>;

    /// Leases up to `max` enabled endpoints that no node holds, for `lease`. Their deliveries are loaded one endpoint at a time,
    /// so that one with many holds up no other.
    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError>;

    /// The pending deliveries of an endpoint after the event `after`, oldest events first. `None` if the lease is lost.
    async fn pending_deliveries(
        &self,
        id: WebhookEndpointId,
        token: LeaseToken,
        after: EventId,
        limits: PendingLimits,
    ) -> Result<Option<PendingPage>, StoreError>;

    /// Records progress under a lease and renews it, in one transaction. False if the lease is lost: then nothing changed.
    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError>;

    /// Gives a lease back; does nothing if it is lost.
    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError>;

    /// The deliveries on record of an endpoint, oldest events first; `None` for an unknown one.
    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError>;

    /// Deletes up to `limit` failed deliveries whose events are no longer in the log, and returns how many.
    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError>;
}

/// A secret that signs webhooks: the bytes, not their `whsec_` spelling. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub Box<[u8]>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(***)")
    }
}

/// The URL of an endpoint. `Debug` masks it, because URLs may carry keys.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(pub Box<str>);

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointUrl(***)")
    }
}

/// What a client says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    pub url: EndpointUrl,
    /// `None` is all types, also those of later versions.
    pub types: Option<Vec<EventType>>,
    pub payload: WebhookPayload,
    pub description: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    pub id: WebhookEndpointId,
    pub config: EndpointConfig,
    pub secret: WebhookSecret,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    pub config: EndpointConfig,
    pub secret: WebhookSecret,
    /// Each signs too, until its time. Latest first, at most [`PREVIOUS_SECRETS_MAX`].
    pub previous_secrets: Vec<(WebhookSecret, Timestamp)>,
    pub enabled: bool,
    /// Why the system disabled it; `None` if it is enabled, or a client disabled it.
    pub disabled_reason: Option<DisabledReason>,
    /// By the database's clock.
    pub created_at: Timestamp,
    pub cursor: EventId,
    /// The cursor reaches this when the latest replay is done; `None` if none is under way.
    pub replay_until: Option<EventId>,
    /// Successful deliveries, replayed ones included.
    pub delivered_total: u64,
    pub last_delivered_at: Option<Timestamp>,
    /// The first failure since the last success.
    pub failing_since: Option<Timestamp>,
}

impl Endpoint {
    /// Replaces the secret. The present one signs for as long as `kept`, with the latest of those before it that still sign.
    pub fn rotate(&mut self, secret: WebhookSecret, kept: Duration, now: Timestamp) {
        let previous = std::mem::replace(&mut self.secret, secret);
        self.previous_secrets
            .insert(0, (previous, instant_after(now, kept)));
        self.previous_secrets.retain(|(_, until)| *until > now);
        self.previous_secrets.truncate(PREVIOUS_SECRETS_MAX);
    }
}

/// What to change of an endpoint; `None` leaves a value as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChange {
    pub url: Option<EndpointUrl>,
    pub types: Option<Option<Vec<EventType>>>,
    pub payload: Option<WebhookPayload>,
    pub description: Option<Option<Box<str>>>,
    /// Enabling clears the reason, the failing time and the attempts of pending deliveries, and makes these due at once.
    pub enabled: Option<bool>,
    /// A new secret; the one before also signs for this long. Of those before it, the latest that still sign are kept.
    pub rotate: Option<(WebhookSecret, Duration)>,
}

/// Which events to deliver again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// All events after this place: the cursor goes back to it, unless it is there already, and failed deliveries after it
    /// become pending as with [`ReplayFrom::Failed`].
    After(EventId),
    /// All events since this time, likewise.
    Since(Timestamp),
    /// The events of failed deliveries: they become pending, due at once, with fresh attempts.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedEndpoint {
    pub endpoint: Endpoint,
    pub token: LeaseToken,
}

/// How much of an endpoint's pending deliveries to load at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingLimits {
    pub rows: u32,
    /// Of their attempts, as the store writes them. A first delivery that is larger is returned alone.
    pub bytes: u32,
}

/// A part of an endpoint's pending deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPage {
    pub deliveries: Vec<WebhookDelivery>,
    /// When it was read, by the database's clock.
    pub read_at: Timestamp,
    /// Whether no more follow.
    pub is_last: bool,
}

impl PendingPage {
    /// From up to one more delivery than fits, each with its bytes.
    pub fn of(found: Vec<(WebhookDelivery, usize)>, limits: PendingLimits, read_at: Timestamp) -> Self {
        let (count, mut bytes) = (found.len(), 0);
        let fits = found.into_iter().enumerate().take_while(|(place, (_, size))| {
            bytes += size;
            *place < limits.rows as usize && (*place == 0 || bytes <= limits.bytes as usize)
        });
        let deliveries: Vec<_> = fits.map(|(_, (delivery, _))| delivery).collect();
        Self {
            is_last: deliveries.len() == count,
            deliveries,
            read_at,
        }
    }
}

/// An event that did not get through to an endpoint, or waits behind one that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    pub event: Event,
    pub status: DeliveryStatus,
    /// When it is tried next, by the database's clock; `None` while it waits behind an earlier event of its conversation, or
    /// has failed.
    pub due_at: Option<Timestamp>,
    /// Oldest first; empty if it only waits.
    pub attempts: Vec<DeliveryAttempt>,
}

/// A call to an endpoint that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// By the node's clock.
    pub at: Timestamp,
    pub latency: Duration,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// What went wrong, in a word: `timeout`, `refused_address`, `status` …
    pub error: Box<str>,
    /// The first [`ANSWER_KEPT_BYTES`] of the answer, as text.
    pub answer: Box<str>,
}

/// Secrets that still sign after their rotation, at most. One more rotation drops the oldest.
pub const PREVIOUS_SECRETS_MAX: usize = 5;
/// How much of an endpoint's answer is kept.
pub const ANSWER_KEPT_BYTES: usize = 1_024;
/// The most attempts of one delivery that are kept: the first and the latest.
pub const DELIVERY_ATTEMPTS_KEPT: usize = 20;

/// Progress of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub id: WebhookEndpointId,
    pub token: LeaseToken,
    /// From now on.
    pub lease: Duration,
    /// Not before the present one.
    pub cursor: EventId,
    /// Deliveries to store, or to replace; `due_in` is from now on.
    pub kept: Vec<KeptDelivery>,
    /// Deliveries on record that got through.
    pub done: Vec<EventId>,
    /// Successes since the last checkpoint.
    pub delivered: u64,
    /// Whether some call failed after the last success.
    pub failing: bool,
    /// Disables the endpoint, with its event, and gives the lease back.
    pub disable: Option<DisabledReason>,
}

/// A delivery as a checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDelivery {
    pub event: Event,
    pub status: DeliveryStatus,
    pub due_in: Option<Duration>,
    pub attempts: Vec<DeliveryAttempt>,
}
