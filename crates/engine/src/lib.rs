//! The use cases: accept a message, receive one, redrive one, dispatch what was accepted until it is final, and give
//! imported messages their conversations.
//!
//! The engine drives the pure rules of `resilience` and `domain` with real time, real storage and real providers, all of
//! which come in as arguments: it names no database and no provider. One process may run several engines, as the
//! simulation does.

mod accept;
mod backfill;
mod critical_tasks;
mod depths;
mod dispatch;
mod hold;
mod housekeeping;
mod limits;
mod metrics;
mod receive;
mod redrive;
mod retry;
mod settings;
mod spawn;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use domain::{Clock, Entropy, ProviderName, Timestamp};
use providers::Routes;
use store::{CommitReport, GroupCommit, GroupCommitLimits, QueueDepth, Store, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use accept::{Rejection, SendError, Sent, SentOutcome};
pub use backfill::{
    BACKFILL_BATCH_MAX, BACKFILL_SKIPPED_SHOWN_MAX, BackfillProgress, BackfillReport, backfill,
};
pub use dispatch::{BreakerReport, CountsReport, ProviderReport, QueueReport};
pub use resilience::breaker::BreakerState;

pub use hold::{Hold, HoldReason};
pub use housekeeping::UNSERVED_AFTER;
pub use limits::{ClientLimit, Limit, Limits, RateLimited};
pub use metrics::Metrics;
pub use receive::{InboundProviderError, Received};
pub use retry::retry_transient;
pub use settings::{DispatchSettings, EngineSettings, LaneSettings, LimitSettings};
pub use spawn::{Spawn, Task, TokioTasks};

use critical_tasks::CriticalTasks;
use depths::Depths;
use dispatch::Dispatcher;

/// What every task of a node works with.
struct Node<'a> {
    store: &'a Arc<dyn Store>,
    clock: &'a Arc<dyn Clock>,
    metrics: &'a Arc<Metrics>,
    critical_tasks: &'a CriticalTasks,
    tasks: &'a Arc<dyn Spawn>,
    stop: &'a CancellationToken,
}

/// Everything that happens to a message between HTTP, the store and the providers, on one node.
pub struct Engine {
    store: Arc<dyn Store>,
    routes: Routes,
    commits: GroupCommit,
    dispatcher: Dispatcher,
    limits: Limits,
    depths: Depths,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    ids: Entropy,
    settings: EngineSettings,
    critical_tasks: CriticalTasks,
    tasks: Arc<dyn Spawn>,
    store_away: AtomicBool,
    stop: CancellationToken,
    housekeeping: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the tasks that commit, dispatch and keep house; `tasks` runs them. They run until [`Engine::drain`].
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
        let stop = CancellationToken::default();
        let limits = GroupCommitLimits {
            queue_max: settings.commit_queue_max,
            batch_max: settings.commit_batch_max,
        };
        let commit_metrics = Arc::clone(&metrics);
        let report = move |report: CommitReport| commit_metrics.count_commit(report);
        let (commits, committing) = GroupCommit::new(Arc::clone(&store), limits, Arc::clone(&clock), report);
        // Its end is noticed by `GroupCommit::ended`.
        tasks.spawn_apart("commit", Box::pin(committing));
        let critical_tasks = CriticalTasks::new(Arc::clone(&tasks));
        let node = Node {
            store: &store,
            clock: &clock,
            metrics: &metrics,
            critical_tasks: &critical_tasks,
            tasks: &tasks,
            stop: &stop,
        };
        let dispatcher = Dispatcher::start(&settings.dispatch, &routes, entropy, &node);
        let housekeeping = housekeeping::start(settings.idempotency_ttl, &routes, &node);
        Arc::new(Self {
            limits: Limits::new(&settings.limits, Arc::clone(&clock), Arc::clone(&metrics)),
            ids: entropy.child("ids"),
            housekeeping: tokio::sync::Mutex::new(Some(housekeeping)),
            depths: Depths::default(),
            store,
            routes,
            commits,
            dispatcher,
            metrics,
            clock,
            settings,
            critical_tasks,
            tasks,
            store_away: AtomicBool::new(false),
            stop,
        })
    }

    /// The store, for reads: they need nothing of the engine.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time since an arbitrary fixed origin, for measuring durations.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The limits on clients, for the checks that come before a request is read.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether another message would be refused at once, so that a request can be turned away unread.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.commits.is_full()
    }

    /// Every provider with its breaker and its queue.
    ///
    /// # Errors
    /// When the store cannot tell the queues.
    pub async fn providers(&self) -> Result<Vec<ProviderReport>, StoreError> {
        let depths = self.count_queues().await?;
        let depths: BTreeMap<&ProviderName, &QueueDepth> =
            depths.iter().map(|depth| (&depth.provider, depth)).collect();
        Ok(self.dispatcher.reports(self.clock.now(), &depths))
    }

    /// The breaker of one provider on this node, without asking the store.
    #[must_use]
    pub fn breaker(&self, provider: &ProviderName) -> Option<BreakerReport> {
        self.dispatcher.breaker(provider, self.clock.now())
    }

    /// Counts what waits in the queues, unless that was done just now, for the metrics as well.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub async fn count_queues(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let depths = self.depths.count(&*self.store, &*self.clock).await?;
        self.metrics.set_queue_depths(&depths);
        Ok(depths)
    }

    /// Completes when a task has panicked that this node cannot do without: it should be started again.
    pub async fn failed(&self) {
        tokio::select! {
            biased;
            () = self.commits.ended() => {}
            () = self.critical_tasks.failed() => {}
        }
    }

    /// Stops claiming, gives back what was not sent, finishes the calls under way and records what came of them, for at
    /// most `within`; what is not settled by then comes back when its lease runs out.
    pub async fn drain(&self, within: Duration) {
        self.stop.cancel();
        let drained = tokio::time::timeout(within, async {
            self.dispatcher.drained().await;
            if let Some(housekeeping) = self.housekeeping.lock().await.take() {
                // A panic in there was reported when it happened.
                let _ = housekeeping.await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                "not everything was settled in time: it will be tried again when its lease runs out"
            );
        }
    }
}

/// Tasks do not outlive their engine.
impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}
