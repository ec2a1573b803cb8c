//! The use cases: accept, receive and redrive a message, dispatch accepted messages until they are final, and give imported
//! messages their conversations.
//!
//! The engine applies the pure rules of `resilience` and `domain` to a clock, a store and providers that it gets as arguments:
//! it names no database and no provider. One process may run several engines, as the simulation does.

mod accept;
mod backfill;
mod cancel;
mod critical_tasks;
mod depths;
mod dispatch;
mod events;
mod follow_ups;
mod hold;
mod housekeeping;
mod limits;
mod metrics;
mod node;
mod receipts;
mod receive;
mod redrive;
mod retry;
mod settings;
mod spawn;
mod wait;
mod webhooks;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use domain::{Clock, Entropy, ProviderName, Timestamp};
use providers::{Provider, Routes};
use store::{CommitReport, GroupCommit, GroupCommitLimits, QueueDepth, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use accept::{Rejection, SendError, Sent, SentOutcome};
pub use backfill::{
    BACKFILL_BATCH_MAX, BACKFILL_SKIPPED_SHOWN_MAX, BackfillProgress, BackfillReport, backfill,
};
pub use dispatch::{AddProviderError, BreakerReport, CountsReport, ProviderReport, QueueReport};
pub use events::{EventLog, Following};
pub use hold::{Hold, HoldReason};
pub use housekeeping::UNSERVED_AFTER;
pub use limits::{ClientLimit, Limit, Limits, RateLimited};
pub use metrics::Metrics;
pub use receive::{InboundProviderError, Received};
pub use resilience::breaker::BreakerState;
pub use retry::retry_transient;
pub use settings::{DispatchSettings, EngineSettings, LaneSettings, LimitSettings};
pub use spawn::{Spawn, Task, TokioTasks};
pub use wait::Waited;
pub use webhooks::{
    CALL_TIMEOUT, CallAnswer, CallError, ENDPOINTS_MAX, EndpointError, ROTATION_OVERLAP, TestReport,
    WebhookBody, WebhookCall, WebhookCaller, WebhookMessage, Webhooks, sign_webhook, spelled_secret,
    webhook_secret,
};

use critical_tasks::CriticalTasks;
use depths::Depths;
use dispatch::{Dispatcher, WakeUps};
use node::Node;
use wait::WAIT_QUERIES_MAX;

/// Everything that happens to a message between HTTP, the store and the providers, on one node.
pub struct Engine {
    node: Arc<Node>,
    commits: GroupCommit,
    dispatcher: Arc<Dispatcher>,
    webhooks: Webhooks,
    limits: Limits,
    depths: Depths,
    ids: Entropy,
    settings: EngineSettings,
    store_away: AtomicBool,
}

impl Engine {
    /// Starts the tasks that commit, dispatch and keep house. They run on `tasks` until [`Engine::drain`].
    ///
    /// # Panics
    /// When the settings of a lane are out of range.
    #[must_use]
    pub fn start(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        routes: Routes,
        clock: Arc<dyn Clock>,
        entropy: &Entropy,
        metrics: Arc<Metrics>,
        tasks: Arc<dyn Spawn>,
    ) -> Arc<Self> {
        let commit_limits = GroupCommitLimits {
            queue_max: settings.commit_queue_max,
            batch_max: settings.commit_batch_max,
        };
        let commit_metrics = Arc::clone(&metrics);
        let report = move |report: CommitReport| commit_metrics.count_commit(report);
        let (commits, committing) =
            GroupCommit::new(Arc::clone(&store), commit_limits, Arc::clone(&clock), report);
        // `GroupCommit::ended` notices its end.
        tasks.spawn_apart("commit", Box::pin(committing));
        let limits = Limits::new(&settings.limits, Arc::clone(&clock), Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let node = Arc::new(Node {
            events: Arc::new(EventLog::new(&store, &clock, &metrics, &stop)),
            store,
            routes,
            clock,
            metrics,
            wake_ups: WakeUps::default(),
            critical_tasks: CriticalTasks::new(Arc::clone(&tasks)),
            tasks,
            stop,
            wait_queries: Semaphore::new(WAIT_QUERIES_MAX),
            followed: Notify::new(),
            ends_with_drain: TaskTracker::new(),
        });
        let events = Arc::clone(&node.events);
        let following = node
            .ends_with_drain
            .track_future(async move { events.run().await });
        node.critical_tasks.spawn("events", following);
        let dispatcher = Arc::new(Dispatcher::start(&node, settings.dispatch.clone(), entropy));
        housekeeping::start(&settings, Arc::clone(&dispatcher), &node);
        let engine = Arc::new(Self {
            webhooks: Webhooks::new(&node, entropy),
            node,
            commits,
            dispatcher,
            limits,
            depths: Depths::default(),
            ids: entropy.child("ids"),
            settings,
            store_away: AtomicBool::new(false),
        });
        follow_ups::start(&engine);
        engine
    }

    /// For reads: they need nothing else of the engine.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.node.store
    }

    /// The event log, as this node follows it.
    #[must_use]
    pub fn events(&self) -> &Arc<EventLog> {
        &self.node.events
    }

    /// Starts to deliver events to webhook endpoints, until [`Engine::drain`]. Later calls do nothing.
    pub fn deliver_webhooks(&self, caller: Arc<dyn WebhookCaller>, body: Arc<dyn WebhookBody>) {
        self.webhooks.deliver(&self.dispatcher, caller, body);
    }

    #[must_use]
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.node.clock.now()
    }

    /// Time since an arbitrary fixed origin, for measuring durations.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.node.clock.monotonic()
    }

    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.node.metrics
    }

    /// For the checks that come before a request is read.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a send would be refused now, so that a request can be refused unread.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.commits.is_full()
    }

    /// In the order of their names.
    ///
    /// # Errors
    /// When the store cannot count the queues.
    pub async fn providers(&self) -> Result<Vec<ProviderReport>, StoreError> {
        let depths = self.count_queues().await?;
        Ok(self.dispatcher.reports(self.node.clock.now(), &depths))
    }

    /// Starts to send the messages of another provider. Routes stay as they are.
    ///
    /// # Errors
    /// When a provider of this name runs already, or its settings are out of range.
    pub async fn add_provider(
        &self,
        provider: Arc<dyn Provider>,
        settings: LaneSettings,
    ) -> Result<(), AddProviderError> {
        self.dispatcher.add(provider, settings).await
    }

    /// Stops sending the messages of a provider: claims no more, gives back what was not sent, and waits until the calls under
    /// way are settled. Its messages wait for a node that serves it. False when it does not run here.
    pub async fn remove_provider(&self, provider: &ProviderName) -> bool {
        self.dispatcher.remove(provider).await
    }

    /// The breaker of a provider on this node; `None` when it does not run here.
    #[must_use]
    pub fn breaker(&self, provider: &ProviderName) -> Option<BreakerReport> {
        self.dispatcher.breaker(provider, self.node.clock.now())
    }

    /// Counts the queues, unless that was done just now, and shows the result in the metrics.
    ///
    /// # Errors
    /// When the store cannot count them.
    pub async fn count_queues(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let depths = self.depths.count(&*self.node.store, &*self.node.clock).await?;
        self.node.metrics.set_queue_depths(&depths);
        Ok(depths)
    }

    /// Completes when a task has panicked that the node cannot run without. The process should then end and be restarted.
    pub async fn failed(&self) {
        tokio::select! {
            biased;
            () = self.commits.ended() => {}
            () = self.node.critical_tasks.failed() => {}
        }
    }

    /// Stops claiming, gives back what was not sent, finishes the calls under way and records their results, for at most
    /// `within`. What is not settled by then is claimed again when its lease expires.
    pub async fn drain(&self, within: Duration) {
        self.node.stop.cancel();
        self.node.ends_with_drain.close();
        let drained = tokio::time::timeout(within, async {
            self.dispatcher.drain().await;
            self.node.ends_with_drain.wait().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                "some calls were not settled before the node stopped: their messages are sent again when the leases expire"
            );
        }
    }
}

/// Tasks end with their engine.
impl Drop for Engine {
    fn drop(&mut self) {
        self.node.stop.cancel();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}
