//! From the outbox to the providers. Each provider has a lane, so that the failures of one never slow another.

mod call;
mod circuit;
mod claim;
mod disposition;
mod lane;
mod queue;
mod recorder;
mod report;
mod set_aside;
mod settler;
mod unconfirmed;
mod wake_ups;
mod work;
mod worker;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{Entropy, MessageId, ProviderName, Timestamp};
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use parking_lot::RwLock;
use providers::Provider;
use resilience::breaker::BreakerSettingsError;
use store::QueueDepth;
use thiserror::Error;
use tokio::sync::mpsc;

use self::{claim::Claimer, lane::Lane, unconfirmed::Unconfirmed};
use crate::{DispatchSettings, LaneSettings, Node, Task, metrics::ProviderMetrics};

pub use circuit::BreakerReport;
pub(crate) use lane::Reservation;
pub use report::{CountsReport, ProviderReport, QueueReport};
pub(crate) use wake_ups::WakeUps;

/// Recorders of new lanes that may wait for the settling task to run them.
const NEW_RECORDERS_MAX: usize = 16;

/// The lanes of a node.
pub(crate) struct Dispatcher {
    node: Arc<Node>,
    settings: Arc<DispatchSettings>,
    entropy: Entropy,
    lanes: RwLock<BTreeMap<ProviderName, Arc<Lane>>>,
    recorders: mpsc::Sender<Task>,
    unconfirmed: Unconfirmed,
}

/// Why a provider was not added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddProviderError {
    #[error("a provider named {0} runs already")]
    SameName(ProviderName),
    #[error("a call may take at most half a lease, which is {0:?}")]
    CallTimeout(Duration),
    #[error(transparent)]
    Breaker(#[from] BreakerSettingsError),
}

impl Dispatcher {
    /// Starts a lane for each provider.
    ///
    /// # Panics
    /// When the settings of a lane are out of range.
    pub(crate) fn start(node: &Arc<Node>, settings: DispatchSettings, entropy: &Entropy) -> Self {
        let (recorders, new_recorders) = mpsc::channel(NEW_RECORDERS_MAX);
        let dispatcher = Self {
            unconfirmed: Unconfirmed::start(node),
            node: Arc::clone(node),
            entropy: entropy.again(),
            lanes: RwLock::default(),
            recorders,
            settings: Arc::new(settings),
        };
        let running = FuturesUnordered::new();
        let configured = node.routes.providers().iter();
        let configured = configured.map(|provider| (provider, dispatcher.settings.lane_of(provider.name())));
        let scripted = node.routes.scripted().into_iter();
        let scripted = scripted.map(|provider| (provider, dispatcher.settings.scripted_lane()));
        for (provider, lane) in configured.chain(scripted) {
            let recorder = dispatcher.add_lane(Arc::clone(provider), lane);
            running.push(recorder.expect("the settings of lanes were checked when they were read"));
        }
        node.critical_tasks
            .spawn_apart("settle", run_recorders(running, new_recorders));
        dispatcher
    }

    /// Starts the lane of another provider.
    pub(crate) async fn add(
        &self,
        provider: Arc<dyn Provider>,
        settings: LaneSettings,
    ) -> Result<(), AddProviderError> {
        let recorder = self.add_lane(provider, settings)?;
        // The settling task ends only with the process.
        let _ = self.recorders.send(recorder).await;
        Ok(())
    }

    /// Starts a lane whose results are recorded as soon as the returned task runs.
    fn add_lane(
        &self,
        provider: Arc<dyn Provider>,
        settings: LaneSettings,
    ) -> Result<Task, AddProviderError> {
        let name = provider.name().clone();
        if settings.call_timeout > self.settings.lease / 2 {
            return Err(AddProviderError::CallTimeout(self.settings.lease));
        }
        let mut lanes = self.lanes.write();
        if lanes.contains_key(&name) {
            return Err(AddProviderError::SameName(name));
        }
        let metrics = Arc::new(ProviderMetrics::new(
            &self.node.metrics,
            &name,
            provider.channels(),
        ));
        let batch_max = self.settings.batch_messages_max;
        let (settler, recorder) = settler::new(&self.node, name.clone(), Arc::clone(&metrics), batch_max);
        let entropy = self.entropy.child(&format!("lane/{name}"));
        let (lane, waiting) = Lane::new(
            &self.node,
            provider,
            &self.settings,
            settings,
            &entropy,
            settler,
            metrics,
        )?;
        let lane = Arc::new(lane);
        let claimer = Claimer::new(Arc::clone(&lane));
        let critical_tasks = &self.node.critical_tasks;
        critical_tasks.spawn("claim", lane.tasks.track_future(claimer.run()));
        let workers = worker::run(Arc::clone(&lane), waiting);
        critical_tasks.spawn("workers", lane.tasks.track_future(workers));
        lanes.insert(name, lane);
        Ok(Box::pin(recorder.run()))
    }

    /// Drains the lane of a provider and removes it. False when there is none. After a cancellation, call it again.
    pub(crate) async fn remove(&self, provider: &ProviderName) -> bool {
        let Some(lane) = self.lane(provider) else {
            return false;
        };
        lane.drain().await;
        let mut lanes = self.lanes.write();
        if lanes.get(provider).is_some_and(|now| Arc::ptr_eq(now, &lane)) {
            lanes.remove(provider);
            lane.metrics.remove_breaker();
            self.node.wake_ups.remove(provider);
        }
        true
    }

    /// The providers that have a lane.
    pub(crate) fn serving(&self) -> Vec<ProviderName> {
        let lanes = self.lanes.read();
        let running = lanes.iter().filter(|(_, lane)| !lane.stop.is_cancelled());
        running.map(|(name, _)| name.clone()).collect()
    }

    /// A place in the lane of a provider for a message of so many bytes that is about to be accepted; `None` when there is no
    /// room, or the breaker is not closed.
    pub(crate) fn reserve(
        &self,
        provider: &ProviderName,
        deadline: Duration,
        bytes: usize,
    ) -> Option<Reservation> {
        self.lanes.read().get(provider)?.reserve(deadline, bytes)
    }

    /// Gives back the lease of a message whose accept ended without an answer, if the message turns out to be stored.
    pub(crate) fn give_back(&self, id: MessageId, provider: &ProviderName, lease: Duration) {
        self.unconfirmed.give_back(id, provider, lease);
    }

    /// How long a provider will not be called; `None` while its breaker is closed.
    pub(crate) fn blocked_for(&self, provider: &ProviderName) -> Option<Duration> {
        self.lanes.read().get(provider)?.circuit.blocked_for()
    }

    pub(crate) fn breaker(&self, provider: &ProviderName, now: Timestamp) -> Option<BreakerReport> {
        Some(self.lanes.read().get(provider)?.circuit.report(now))
    }

    pub(crate) fn reports(&self, now: Timestamp, depths: &[QueueDepth]) -> Vec<ProviderReport> {
        let queue = |name: &ProviderName| {
            let depth = depths.iter().find(|depth| depth.provider == *name);
            depth.map_or_else(QueueReport::default, |depth| QueueReport {
                waiting: depth.waiting,
                leased: depth.leased,
                dead: depth.dead,
                capped: depth.capped,
            })
        };
        let lanes = self.lanes.read();
        let report = |(name, lane): (&ProviderName, &Arc<Lane>)| lane.report(now, queue(name));
        lanes.iter().map(report).collect()
    }

    /// Drains all lanes.
    pub(crate) async fn drain(&self) {
        let lanes: Vec<_> = self.lanes.read().values().cloned().collect();
        join_all(lanes.iter().map(|lane| lane.drain())).await;
    }

    fn lane(&self, provider: &ProviderName) -> Option<Arc<Lane>> {
        self.lanes.read().get(provider).cloned()
    }
}

/// Runs the recorders of all lanes. One thread is enough, since they mostly wait for the store.
async fn run_recorders(mut running: FuturesUnordered<Task>, mut added: mpsc::Receiver<Task>) {
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            biased;
            Some(()) = running.next() => {}
            recorder = added.recv(), if open => match recorder {
                Some(recorder) => running.push(recorder),
                None => open = false,
            },
        }
    }
}
