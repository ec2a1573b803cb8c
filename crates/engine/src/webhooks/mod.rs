//! Webhook endpoints: clients register them, and events are delivered to them (Standard Webhooks 1.0).
//!
//! One node at a time delivers to an endpoint: the [`supervisor`] leases endpoints and runs a [`delivery`] task for each. The task
//! reads the event log behind the endpoint's cursor. A [`queue`], a pure state machine, decides what is called when, and what
//! a checkpoint stores. There is no row for an event that gets through at once.

mod calls;
mod delivery;
mod metrics;
mod queue;
mod schedule;
mod signature;
mod supervisor;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use domain::{DeliveryStatus, Entropy, Event, EventId, Page, PageRequest, Timestamp, WebhookEndpointId};
use futures_util::FutureExt;
use parking_lot::Mutex;
use store::{
    Endpoint, EndpointChange, EndpointConfig, EndpointUrl, MessageDetail, NewEndpoint, ReplayFrom,
    StoreError, WebhookDelivery, WebhookSecret,
};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Hold, Node, dispatch::Dispatcher};

pub use signature::{sign_webhook, spelled_secret, webhook_secret};

pub(crate) use metrics::WebhookMetrics;

/// Endpoints at most. It bounds tasks, memory and series in the metrics.
pub const ENDPOINTS_MAX: u32 = 100;
/// How long a call may take, from the look-up of the name to the end of the answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a secret signs after its rotation.
pub const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// Calls the URLs of endpoints.
#[async_trait]
pub trait WebhookCaller: Send + Sync + fmt::Debug {
    /// # Errors
    /// What is wrong with a URL that can never be called, in words for its author.
    fn check(&self, url: &str) -> Result<(), String>;

    /// Ends within the call's timeout, and follows no redirect.
    ///
    /// # Errors
    /// Without an answer.
    async fn call(&self, call: WebhookCall) -> Result<CallAnswer, CallError>;
}

/// A `POST` with a JSON body.
#[derive(Debug)]
pub struct WebhookCall {
    pub url: EndpointUrl,
    /// Names and values.
    pub headers: [(&'static str, String); 3],
    pub body: Vec<u8>,
    pub timeout: Duration,
}

/// What an endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The first [`ANSWER_KEPT_BYTES`](store::ANSWER_KEPT_BYTES) of the body, as text.
    pub body: Box<str>,
    pub retry_after: Option<Duration>,
}

/// Why there is no answer, in a word: `timeout`, `refused_address` …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallError(pub &'static str);

/// Makes the JSON that endpoints get.
pub trait WebhookBody: Send + Sync + fmt::Debug {
    /// `message` is `None` for a thin payload, an event without a message, and a message that is deleted.
    fn of_event(&self, event: &Event, message: Option<WebhookMessage<'_>>) -> Vec<u8>;

    /// The body of a test.
    fn of_test(&self, id: WebhookEndpointId, at: Timestamp) -> Vec<u8>;
}

/// A message as it is when its event is sent.
#[derive(Debug)]
pub struct WebhookMessage<'a> {
    pub detail: &'a MessageDetail,
    /// See [`Engine::hold`](crate::Engine::hold).
    pub next_attempt_at: Option<Timestamp>,
    pub hold: Option<Hold>,
}

/// Why a request about an endpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// With what is wrong, in words for its author.
    #[error("{0}")]
    InvalidUrl(String),
    #[error("there are {ENDPOINTS_MAX} webhook endpoints, the most there can be: delete one")]
    TooMany,
    #[error("this node delivers no webhooks")]
    NotDelivering,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came back from a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    pub delivered: bool,
    pub latency: Duration,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// What went wrong, in a word.
    pub error: Option<Box<str>>,
    /// The first bytes of the answer, as text.
    pub answer: Box<str>,
}

/// The endpoints, for all who manage them, and what delivers to them.
pub struct Webhooks {
    node: Arc<Node>,
    ids: Entropy,
    secrets: Entropy,
    jitter: Entropy,
    /// Notified when an endpoint was changed here.
    changed: Arc<Notify>,
    running: Arc<Running>,
    outside: OnceLock<Outside>,
}

/// Ends the task of an endpoint. The task cancels it too when it ends by itself.
type Running = Mutex<BTreeMap<WebhookEndpointId, CancellationToken>>;

/// What deliveries need from other crates.
#[derive(Clone)]
struct Outside {
    caller: Arc<dyn WebhookCaller>,
    body: Arc<dyn WebhookBody>,
}

impl Webhooks {
    pub(crate) fn new(node: &Arc<Node>, entropy: &Entropy) -> Self {
        Self {
            node: Arc::clone(node),
            ids: entropy.child("webhook endpoint ids"),
            secrets: entropy.child("webhook secrets"),
            jitter: entropy.child("webhook retries"),
            changed: Arc::default(),
            running: Arc::default(),
            outside: OnceLock::new(),
        }
    }

    /// Starts to deliver. Later calls do nothing.
    pub(crate) fn deliver(
        &self,
        dispatcher: &Arc<Dispatcher>,
        caller: Arc<dyn WebhookCaller>,
        body: Arc<dyn WebhookBody>,
    ) {
        let outside = Outside { caller, body };
        if self.outside.set(outside.clone()).is_ok() {
            supervisor::start(self, dispatcher, outside);
        }
    }

    /// # Errors
    /// When the URL cannot be called, or there are [`ENDPOINTS_MAX`] endpoints.
    pub async fn create(&self, config: EndpointConfig) -> Result<Endpoint, EndpointError> {
        self.check(&config.url)?;
        let endpoint = NewEndpoint {
            id: WebhookEndpointId::mint(self.node.clock.now(), &self.ids),
            config,
            secret: self.new_secret(),
        };
        let (node, changed) = (Arc::clone(&self.node), Arc::clone(&self.changed));
        let created = self.to_completion(async move {
            let created = node.store.create_endpoint(&endpoint, ENDPOINTS_MAX).await;
            changed.notify_one();
            created
        });
        created.await?.ok_or(EndpointError::TooMany)
    }

    /// Oldest first.
    ///
    /// # Errors
    /// When the store cannot read them.
    pub async fn list(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.node.store.endpoints().await
    }

    /// # Errors
    /// When the store cannot read it.
    pub async fn get(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.node.store.endpoint(id).await
    }

    /// `None` for an unknown endpoint.
    ///
    /// # Errors
    /// When the new URL cannot be called, or the store cannot store it.
    pub async fn change(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, EndpointError> {
        if let Some(url) = &change.url {
            self.check(url)?;
        }
        let endpoint = self.node.store.change_endpoint(id, change).await?;
        self.restart(id);
        Ok(endpoint)
    }

    /// Gives an endpoint a new secret. Each of the last [`PREVIOUS_SECRETS_MAX`](store::PREVIOUS_SECRETS_MAX) also signs for
    /// [`ROTATION_OVERLAP`] after its rotation. `None` for an unknown endpoint.
    ///
    /// # Errors
    /// When the store cannot store it.
    pub async fn rotate_secret(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        let change = EndpointChange {
            rotate: Some((self.new_secret(), ROTATION_OVERLAP)),
            ..EndpointChange::default()
        };
        let (node, changed, running) = (
            Arc::clone(&self.node),
            Arc::clone(&self.changed),
            Arc::clone(&self.running),
        );
        let rotated = self.to_completion(async move {
            let rotated = node.store.change_endpoint(id, &change).await;
            restart(&node, &running, &changed, id);
            rotated
        });
        rotated.await
    }

    /// Runs a change that only its answer shows in a task of its own, so that it completes even if the client hangs up.
    async fn to_completion<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = change.map(|changed| {
            // The client may have hung up.
            let _ = reply.send(changed);
        });
        self.node.tasks.spawn(Box::pin(task.in_current_span()));
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::OutcomeUnknown("the node stopped".into())))
    }

    /// False for an unknown endpoint.
    ///
    /// # Errors
    /// When the store cannot delete it.
    pub async fn delete(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        let deleted = self.node.store.delete_endpoint(id).await?;
        self.restart(id);
        self.node.metrics.webhooks.remove(id);
        Ok(deleted)
    }

    /// Starts a durable replay. `None` for an unknown endpoint.
    ///
    /// # Errors
    /// When the store cannot store it.
    pub async fn replay(
        &self,
        id: WebhookEndpointId,
        from: ReplayFrom,
    ) -> Result<Option<Endpoint>, StoreError> {
        let endpoint = self.node.store.replay(id, from).await?;
        self.restart(id);
        Ok(endpoint)
    }

    /// Deliveries on record, oldest events first; `None` for an unknown endpoint.
    ///
    /// # Errors
    /// When the store cannot read them.
    pub async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        self.node.store.deliveries(id, status, page).await
    }

    /// Makes one call with a test event, also to a disabled endpoint, and leaves no trace on the endpoint. `None` for an unknown
    /// endpoint.
    ///
    /// # Errors
    /// When the store cannot read the endpoint, or this node delivers no webhooks.
    pub async fn test(&self, id: WebhookEndpointId) -> Result<Option<TestReport>, EndpointError> {
        let outside = self.outside.get().ok_or(EndpointError::NotDelivering)?;
        let Some(endpoint) = self.node.store.endpoint(id).await? else {
            return Ok(None);
        };
        let now = self.node.clock.now();
        let webhook_id = format!("test_{}", WebhookEndpointId::mint(now, &self.ids));
        let body = outside.body.of_test(id, now);
        let result = calls::call(&*outside.caller, &endpoint, webhook_id, body, &*self.node.clock).await;
        let attempt = result.attempt;
        Ok(Some(TestReport {
            delivered: result.delivered,
            latency: attempt.latency,
            status: attempt.status,
            error: (!result.delivered).then_some(attempt.error),
            answer: attempt.answer,
        }))
    }

    fn restart(&self, id: WebhookEndpointId) {
        restart(&self.node, &self.running, &self.changed, id);
    }

    fn check(&self, url: &EndpointUrl) -> Result<(), EndpointError> {
        let Some(outside) = self.outside.get() else {
            return Ok(());
        };
        outside.caller.check(&url.0).map_err(EndpointError::InvalidUrl)
    }

    fn new_secret(&self) -> WebhookSecret {
        WebhookSecret(Box::new(self.secrets.secret()))
    }
}

/// The endpoint has changed and its lease is gone: ends its task on this node, and looks for endpoints to lease. On another node
/// the task ends by itself before its next call.
fn restart(node: &Node, running: &Running, changed: &Notify, id: WebhookEndpointId) {
    if let Some(running) = running.lock().remove(&id) {
        running.cancel();
        node.metrics.webhooks.remove_gauges(id);
    }
    changed.notify_one();
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}
