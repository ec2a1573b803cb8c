//! Delivers to one endpoint under a lease: reads the log, calls, and stores the progress.

use std::{future::pending, pin::Pin, sync::Arc, time::Duration};

use domain::{DisabledReason, Entropy, Event, EventId, LeaseToken};
use futures_util::{StreamExt, stream::FuturesUnordered};
use store::{Checkpoint, Endpoint, EventsRead, LeasedEndpoint, PendingLimits, PendingPage, StoreError};
use tokio::time::sleep;
use tracing::Instrument;

use super::{
    CALL_TIMEOUT, Outside, calls,
    metrics::{CallEnd, EndpointMetrics},
    queue::{CallResult, Now, Progress, Queue},
};
use crate::{Node, dispatch::Dispatcher};

/// How long another node waits for an endpoint whose node was killed, at most.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// An idle lease is renewed this often.
const RENEW_INTERVAL: Duration = Duration::from_secs(8);
/// No call starts without a checkpoint this long ago at most: a change of the endpoint on another node takes effect by then.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(1);
// So a lease always outlasts the calls that start under it.
const _: () = assert!(CONFIRM_INTERVAL.as_secs() + CALL_TIMEOUT.as_secs() < LEASE.as_secs());
/// Between two checkpoints with progress.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(50);
/// Between two checkpoints of a cursor that moved over events of other types.
const MOVE_INTERVAL: Duration = Duration::from_secs(1);
/// Bodies made at once, with one read of their messages.
const BATCH_MAX: usize = 16;
/// The shortest time between the starts of two batches, so that one read serves several calls.
const BATCH_INTERVAL: Duration = Duration::from_millis(2);
/// After the bodies of a batch are made, the next waits this many times as long as that took, and [`BUSY_PAUSE_MAX`] at most. On a
/// busy node or store it takes long: messages go first.
const BUSY_PAUSES: u32 = 2;
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(50);
/// No more calls start while bodies of this size are under way.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Pending deliveries loaded at once, at most. One has up to 20 attempts, and so takes a few KiB.
const PAGE: PendingLimits = PendingLimits {
    rows: 256,
    bytes: 1 << 20,
};
/// How long to leave a failing store alone.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// How long calls under way may take when the node stops or gives the lease back. After it another node makes them again.
const STOP_GRACE: Duration = Duration::from_secs(2);

type Work = Pin<Box<dyn Future<Output = Step> + Send>>;

/// Work that is done.
enum Step {
    /// `None` if the lease is lost.
    Loaded(Result<Option<PendingPage>, StoreError>),
    Read(EventsRead),
    Bodies(Vec<Event>, Result<Vec<Vec<u8>>, StoreError>),
    Called(EventId, usize, CallResult),
    /// When it began by the monotonic clock, whether the lease was still held, and whether it disabled the endpoint.
    Stored(Duration, bool, Option<DisabledReason>),
}

pub(super) struct Delivery {
    node: Arc<Node>,
    dispatcher: Arc<Dispatcher>,
    outside: Outside,
    jitter: Arc<Entropy>,
    endpoint: Arc<Endpoint>,
    token: LeaseToken,
    metrics: EndpointMetrics,
    queue: Queue,
    work: FuturesUnordered<Work>,
    loading: bool,
    reading: bool,
    storing: bool,
    body_bytes: usize,
    /// Since when the bodies of a batch are being made.
    preparing: Option<Duration>,
    /// When the next batch may start.
    next_batch: Duration,
    /// When the lease was last confirmed, and when a checkpoint last began.
    confirmed: Duration,
    stored: Duration,
    stop_by: Option<Duration>,
}

/// Why the task of an endpoint ends.
enum End {
    /// Another node may hold the lease.
    Lost,
    /// Everything is stored.
    Release,
}

impl Delivery {
    pub(super) fn new(
        node: &Arc<Node>,
        dispatcher: &Arc<Dispatcher>,
        outside: &Outside,
        jitter: &Arc<Entropy>,
        leased: LeasedEndpoint,
        leased_at: Duration,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            dispatcher: Arc::clone(dispatcher),
            outside: outside.clone(),
            jitter: Arc::clone(jitter),
            metrics: node.metrics.webhooks.of(leased.endpoint.id),
            queue: Queue::new(&leased.endpoint, node.clock.monotonic()),
            endpoint: Arc::new(leased.endpoint),
            token: leased.token,
            work: FuturesUnordered::new(),
            loading: false,
            reading: false,
            storing: false,
            body_bytes: 0,
            confirmed: leased_at,
            preparing: None,
            next_batch: Duration::ZERO,
            stored: leased_at,
            stop_by: None,
        }
    }

    /// Delivers until the lease is lost, the endpoint is disabled, or the node stops.
    pub(super) async fn run(mut self) {
        let events = Arc::clone(&self.node.events);
        let _following = events.follow();
        let end = self.deliver().await;
        self.node.metrics.webhooks.remove_gauges(self.endpoint.id);
        if let End::Release = end {
            let released = self
                .node
                .store
                .release_endpoint(self.endpoint.id, self.token)
                .await;
            if let Err(error) = released {
                tracing::debug!(%error, webhook_endpoint_id = %self.endpoint.id, "a lease was not given back: it expires");
            }
        }
    }

    async fn deliver(&mut self) -> End {
        let stop = self.node.stop.clone();
        loop {
            let now = self.node.clock.monotonic();
            if let Some(end) = self.is_over(now) {
                return end;
            }
            self.start_calls(now);
            self.start_loading();
            self.start_reading();
            self.start_checkpoint(now);
            let wake = self.next_time(now);
            let step = tokio::select! {
                biased;
                () = stop.cancelled(), if self.stop_by.is_none() => {
                    self.stop_by = Some(now + STOP_GRACE);
                    continue;
                }
                Some(step) = self.work.next() => step,
                () = sleep(wake.saturating_sub(now)) => continue,
            };
            if let Some(end) = self.take(step) {
                return end;
            }
        }
    }

    fn is_over(&self, now: Duration) -> Option<End> {
        if now >= self.confirmed + LEASE {
            return Some(End::Lost);
        }
        let stopped = self
            .stop_by
            .is_some_and(|stop_by| now >= stop_by || self.queue.in_flight() == 0);
        let stored = !self.storing && !self.queue.has_progress() && !self.queue.has_moved();
        (stopped && stored).then_some(End::Release)
    }

    /// Starts calls that are due, while the lease certainly outlasts them.
    fn start_calls(&mut self, now: Duration) {
        if !self.may_start() || !self.is_confirmed(now) || now < self.next_batch {
            return;
        }
        let events: Vec<_> = std::iter::from_fn(|| self.queue.next(now))
            .take(BATCH_MAX)
            .collect();
        if events.is_empty() {
            return;
        }
        self.preparing = Some(now);
        let (node, dispatcher) = (Arc::clone(&self.node), Arc::clone(&self.dispatcher));
        let (outside, payload) = (self.outside.clone(), self.endpoint.config.payload);
        self.work.push(Box::pin(async move {
            let bodies = calls::bodies(&node, &dispatcher, &outside, payload, &events).await;
            Step::Bodies(events, bodies)
        }));
    }

    fn may_start(&self) -> bool {
        self.stop_by.is_none() && self.preparing.is_none() && self.body_bytes < BODY_BYTES_MAX
    }

    /// The bodies of a batch are made.
    fn prepared(&mut self, now: Duration) {
        if let Some(began) = self.preparing.take() {
            let took = now.saturating_sub(began);
            let pause = (took * BUSY_PAUSES).min(BUSY_PAUSE_MAX);
            self.next_batch = (now + pause).max(began + BATCH_INTERVAL);
        }
    }

    fn call(&mut self, event: &Event, body: Vec<u8>) {
        let bytes = body.len();
        self.body_bytes += bytes;
        let (node, outside) = (Arc::clone(&self.node), self.outside.clone());
        let (endpoint, id) = (Arc::clone(&self.endpoint), event.id);
        let span = tracing::debug_span!("webhook", webhook_endpoint_id = %endpoint.id, event_id = %id);
        let call = async move {
            let result = calls::call(&*outside.caller, &endpoint, id.to_string(), body, &*node.clock).await;
            tracing::debug!(
                status = result.attempt.status,
                error = &*result.attempt.error,
                delivered = result.delivered,
                "a webhook endpoint was called"
            );
            Step::Called(id, bytes, result)
        };
        self.work.push(Box::pin(call.instrument(span)));
    }

    fn start_loading(&mut self) {
        if self.loading || self.stop_by.is_some() {
            return;
        }
        let Some(after) = self.queue.wants_deliveries() else {
            return;
        };
        self.loading = true;
        let node = Arc::clone(&self.node);
        let (id, token) = (self.endpoint.id, self.token);
        self.work.push(Box::pin(async move {
            let loaded = node.store.pending_deliveries(id, token, after, PAGE).await;
            if let Err(error) = &loaded {
                tracing::debug!(%error, webhook_endpoint_id = %id, "pending deliveries were not loaded: the lease is given back");
                // The other endpoints are leased first.
                sleep(STORE_PAUSE).await;
            }
            Step::Loaded(loaded)
        }));
    }

    fn start_reading(&mut self) {
        if self.reading || self.stop_by.is_some() {
            return;
        }
        let Some((after, limit)) = self.queue.wants() else {
            return;
        };
        self.reading = true;
        let events = Arc::clone(&self.node.events);
        self.work.push(Box::pin(async move {
            loop {
                match events.read(after, limit).await {
                    Ok(EventsRead::Events(none)) if none.is_empty() => {
                        if !events.beyond(after).await {
                            return pending().await;
                        }
                    }
                    Ok(read) => return Step::Read(read),
                    Err(error) => {
                        tracing::debug!(%error, "events cannot be read: trying again");
                        sleep(STORE_PAUSE).await;
                    }
                }
            }
        }));
    }

    fn start_checkpoint(&mut self, now: Duration) {
        if self.storing || now < self.checkpoint_due(now) {
            return;
        }
        self.storing = true;
        self.stored = now;
        let Progress {
            cursor,
            kept,
            done,
            delivered,
            failing,
            disable,
        } = self.queue.checkpoint(now);
        let checkpoint = Checkpoint {
            id: self.endpoint.id,
            token: self.token,
            lease: LEASE,
            cursor,
            kept,
            done,
            delivered,
            failing,
            disable,
        };
        self.show();
        let node = Arc::clone(&self.node);
        self.work.push(Box::pin(async move {
            loop {
                let began = node.clock.monotonic();
                match node.store.checkpoint(&checkpoint).await {
                    Ok(held) => return Step::Stored(began, held, disable),
                    // Repeated as it is. At worst, successes are counted twice.
                    Err(error) => {
                        tracing::debug!(%error, webhook_endpoint_id = %checkpoint.id, "progress was not stored: trying again");
                        sleep(STORE_PAUSE).await;
                    }
                }
            }
        }));
    }

    /// When the next checkpoint is due.
    fn checkpoint_due(&self, now: Duration) -> Duration {
        let waits_for_lease = self.queue.next_due().is_some_and(|due| due <= now);
        if self.queue.is_disabled() || (waits_for_lease && !self.is_confirmed(now)) {
            return now;
        }
        let interval = if self.queue.has_progress() {
            CHECKPOINT_INTERVAL
        } else if self.stop_by.is_some() {
            Duration::ZERO
        } else if self.queue.has_moved() {
            MOVE_INTERVAL
        } else {
            RENEW_INTERVAL
        };
        self.stored + interval
    }

    fn is_confirmed(&self, now: Duration) -> bool {
        now < self.confirmed + CONFIRM_INTERVAL
    }

    /// When to look again without any work done. Times for which something else is awaited first are left out.
    fn next_time(&self, now: Duration) -> Duration {
        let lease_ends = self.confirmed + LEASE;
        let checkpoint = (!self.storing).then(|| self.checkpoint_due(now));
        let starts = self.may_start();
        let call = self.queue.next_due().filter(|_| starts && self.is_confirmed(now));
        let call = call.map(|due| due.max(self.next_batch));
        // A call that becomes due later than the lease is confirmed needs a checkpoint then.
        let confirm = self
            .queue
            .next_due()
            .filter(|due| starts && !self.storing && *due > now);
        // Once it is over, only the checkpoint under way is awaited.
        let stop = self.stop_by.filter(|stop_by| now < *stop_by);
        [checkpoint, call, confirm, stop]
            .into_iter()
            .flatten()
            .fold(lease_ends, Duration::min)
    }

    fn take(&mut self, step: Step) -> Option<End> {
        let now = self.node.clock.monotonic();
        match step {
            Step::Loaded(Ok(Some(page))) => {
                self.loading = false;
                self.queue.load(page, now);
            }
            Step::Loaded(Ok(None)) => return Some(End::Lost),
            // Perhaps another node can load them.
            Step::Loaded(Err(_)) => {
                self.stop_by.get_or_insert(now + STOP_GRACE);
            }
            Step::Read(read) => {
                self.reading = false;
                match read {
                    EventsRead::Events(events) => self.queue.read(events, now),
                    EventsRead::Expired { start } => {
                        tracing::warn!(
                            webhook_endpoint_id = %self.endpoint.id,
                            "a webhook endpoint was so far behind that events were deleted before it took them: it goes on with the oldest that is kept"
                        );
                        self.queue.skip_to(start);
                    }
                }
            }
            Step::Bodies(events, Ok(bodies)) => {
                self.prepared(now);
                for (event, body) in events.iter().zip(bodies) {
                    self.call(event, body);
                }
            }
            Step::Bodies(events, Err(error)) => {
                self.prepared(now);
                tracing::debug!(%error, "messages of webhooks cannot be read: trying again");
                events
                    .iter()
                    .for_each(|event| self.queue.put_back(event.id, now + STORE_PAUSE));
            }
            Step::Called(id, bytes, result) => {
                self.body_bytes -= bytes;
                let end = match result.attempt.status {
                    _ if result.delivered => CallEnd::Delivered,
                    Some(_) => CallEnd::Refused,
                    None => CallEnd::Unanswered,
                };
                self.metrics.count_call(end, result.attempt.latency);
                let now = Now {
                    monotonic: now,
                    wall: self.node.clock.now(),
                };
                self.queue.finish(id, result, now, self.jitter.next_u64());
            }
            Step::Stored(began, held, disabled) => {
                self.storing = false;
                if !held {
                    return Some(End::Lost);
                }
                self.confirmed = began;
                if let Some(reason) = disabled {
                    self.node.metrics.webhooks.count_disabled(reason);
                    tracing::warn!(
                        webhook_endpoint_id = %self.endpoint.id,
                        %reason,
                        "a webhook endpoint was disabled: repair it and enable it; it resumes with the first event it has not taken"
                    );
                    self.node.events.changed();
                    return Some(End::Lost);
                }
            }
        }
        None
    }

    fn show(&self) {
        let pending = i64::try_from(self.queue.pending()).unwrap_or(i64::MAX);
        self.metrics.pending.set(pending);
        let age = |at| self.node.clock.now().saturating_since(at);
        let lag = self.queue.oldest().map_or(Duration::ZERO, age);
        self.metrics.lag.set(lag.as_secs_f64());
    }
}
