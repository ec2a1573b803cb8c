use std::sync::Arc;

use domain::Clock;
use providers::Routes;
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{EventLog, Metrics, Spawn, critical_tasks::CriticalTasks, dispatch::WakeUps};

/// What the tasks of a node share.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) routes: Routes,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Arc<EventLog>,
    /// Taken by each query of a wait on a listing.
    pub(crate) wait_queries: Semaphore,
    pub(crate) wake_ups: WakeUps,
    /// Notified when a settlement stored follow-ups.
    pub(crate) followed: Notify,
    pub(crate) tasks: Arc<dyn Spawn>,
    pub(crate) critical_tasks: CriticalTasks,
    pub(crate) stop: CancellationToken,
    /// The tasks, beside those of the lanes, that [`Engine::drain`](crate::Engine::drain) waits for.
    pub(crate) ends_with_drain: TaskTracker,
}
