//! From the outbox to the providers: a lane for each, so that one provider's trouble never slows another's.

mod circuit;
mod disposition;
mod lane;
mod send;
mod settle;
mod unconfirmed;
mod worker;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{Channel, Entropy, MessageId, Outcome, ProviderName, Timestamp};
use futures_util::{FutureExt, future::join_all};
use providers::Routes;
use store::QueueDepth;
use tokio::{sync::Mutex, task::JoinHandle};

use self::{
    lane::{Lane, LaneParts},
    unconfirmed::Unconfirmed,
};
use crate::{DispatchSettings, Node, metrics::ProviderMetrics};

pub use circuit::BreakerReport;
pub(crate) use lane::Reservation;
use settle::Settler;

/// All lanes of a node.
pub(crate) struct Dispatcher {
    lanes: BTreeMap<ProviderName, Arc<Lane>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    unconfirmed: Unconfirmed,
}

/// A provider, its breaker and its queue, as the operator sees them.
#[derive(Debug, Clone)]
pub struct ProviderReport {
    /// Its name.
    pub name: ProviderName,
    /// The channels it serves.
    pub channels: Vec<Channel>,
    /// Whether it is called at the moment, by this node.
    pub breaker: BreakerReport,
    /// What waits for it, on all nodes.
    pub queue: QueueReport,
    /// How attempts ended, on this node since it started.
    pub counts: CountsReport,
}

/// The entries of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueReport {
    /// Pending and held by nobody.
    pub waiting: u64,
    /// Held by a node.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether counting stopped at 10,000 pending or dead ones.
    pub capped: bool,
}

/// Attempts by how they ended.
#[derive(Debug, Clone, Copy)]
pub struct CountsReport {
    pub success: u64,
    pub rate_limited: u64,
    pub error: u64,
    pub timeout: u64,
    pub unknown: u64,
}

impl Dispatcher {
    pub(crate) fn start(
        settings: &DispatchSettings,
        routes: &Routes,
        entropy: &Entropy,
        node: &Node<'_>,
    ) -> Self {
        let mut lanes = BTreeMap::new();
        let mut tasks = Vec::new();
        let mut recorders = Vec::new();
        for provider in routes.providers() {
            let metrics = Arc::new(ProviderMetrics::new(
                node.metrics,
                provider.name(),
                provider.channels(),
            ));
            let (settler, recorder) = Settler::new(
                provider.name().clone(),
                Arc::clone(node.store),
                Arc::clone(node.clock),
                Arc::clone(&metrics),
                settings.batch_messages_max,
            );
            recorders.push(recorder);
            let parts = LaneParts {
                provider: Arc::clone(provider),
                settings: settings.clone(),
                lane: settings.lane_of(provider.name()),
                store: Arc::clone(node.store),
                clock: Arc::clone(node.clock),
                entropy: entropy.child(&format!("lane/{}", provider.name())),
                metrics,
                settler,
                tasks: Arc::clone(node.tasks),
                stop: node.stop.clone(),
            };
            let (lane, lane_tasks) = Lane::start(parts, node.critical_tasks);
            lanes.insert(provider.name().clone(), lane);
            tasks.extend(lane_tasks);
        }
        // One thread for all of them: they only wait for the store, each on its own.
        node.critical_tasks
            .spawn_apart("settle", join_all(recorders).map(drop));
        let (unconfirmed, giving_back) = Unconfirmed::start(node);
        tasks.push(giving_back);
        Self {
            lanes,
            tasks: Mutex::new(tasks),
            unconfirmed,
        }
    }

    /// A place in the lane of a provider for a message about to be accepted, whose content has so many bytes; `None` when
    /// there is no room, or the provider is not called at the moment.
    pub(crate) fn reserve(
        &self,
        provider: &ProviderName,
        deadline: Duration,
        bytes: usize,
    ) -> Option<Reservation> {
        self.lanes.get(provider)?.reserve(deadline, bytes)
    }

    /// Has the lease given back under which a message was to be accepted, should it turn out to be stored.
    pub(crate) fn give_back(&self, id: MessageId, provider: &ProviderName, lease: Duration) {
        if let Some(lane) = self.lanes.get(provider) {
            self.unconfirmed.give_back(id, lane, lease);
        }
    }

    /// Lets a lane look for due entries now.
    pub(crate) fn wake(&self, provider: &ProviderName) {
        if let Some(lane) = self.lanes.get(provider) {
            lane.wake();
        }
    }

    /// Lets every lane look for due entries now.
    pub(crate) fn wake_all(&self) {
        self.lanes.values().for_each(|lane| lane.wake());
    }

    /// For how long a provider will not be called; `None` when it is.
    pub(crate) fn blocked_for(&self, provider: &ProviderName) -> Option<Duration> {
        self.lanes.get(provider)?.circuit().blocked_for()
    }

    pub(crate) fn breaker(&self, provider: &ProviderName, now: Timestamp) -> Option<BreakerReport> {
        Some(self.lanes.get(provider)?.circuit().report(now))
    }

    pub(crate) fn reports(
        &self,
        now: Timestamp,
        depths: &BTreeMap<&ProviderName, &QueueDepth>,
    ) -> Vec<ProviderReport> {
        let queue = |name| match depths.get(name) {
            Some(depth) => QueueReport {
                waiting: depth.waiting,
                leased: depth.leased,
                dead: depth.dead,
                capped: depth.capped,
            },
            None => QueueReport::default(),
        };
        self.lanes
            .iter()
            .map(|(name, lane)| lane.report(now, queue(name)))
            .collect()
    }

    /// Waits until every lane has given back or settled what it held. The lanes begin when they are told to stop.
    pub(crate) async fn drained(&self) {
        for task in self.tasks.lock().await.drain(..) {
            // A panic in there was reported when it happened.
            let _ = task.await;
        }
        join_all(self.lanes.values().map(|lane| lane.settler().flush())).await;
    }
}

impl CountsReport {
    fn of(metrics: &ProviderMetrics) -> Self {
        let count = |outcome| metrics.attempts(outcome);
        Self {
            success: count(Outcome::Success),
            rate_limited: count(Outcome::RateLimited),
            error: count(Outcome::Error),
            timeout: count(Outcome::Timeout),
            unknown: count(Outcome::Unknown),
        }
    }
}
