use std::{sync::Arc, time::Duration};

use domain::{Clock, Content, ConversationId, Entropy, MessageId, Timestamp};
use providers::Provider;
use resilience::breaker::{BreakerSettingsError, Capacity};
use store::{FIRST_LEASE, Leased, Progress};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    circuit::Circuit,
    disposition::Rules,
    queue::{Held, Queue, QueuePlace},
    report::{CountsReport, ProviderReport, QueueReport},
    settler::Settler,
};
use crate::{DispatchSettings, LaneSettings, Node, metrics::ProviderMetrics};

/// Entries that a lane holds in memory for each of its workers at most.
const HELD_PER_WORKER_MAX: u32 = 6;

/// What the tasks of one provider share: entries come in from accepts and claims, wait in a bounded queue, and are sent by a
/// bounded number of workers.
pub(crate) struct Lane {
    pub(super) node: Arc<Node>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) dispatch: Arc<DispatchSettings>,
    pub(super) settings: LaneSettings,
    pub(super) circuit: Circuit,
    pub(super) rules: Rules,
    pub(super) jitter: Entropy,
    pub(super) queue: Queue,
    pub(super) settler: Settler,
    pub(super) metrics: Arc<ProviderMetrics>,
    /// Notified when something may be due.
    pub(super) due: Arc<Notify>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A place in a lane for a message that is being accepted.
pub(crate) struct Reservation {
    place: QueuePlace,
    began: Duration,
    leased_at: Duration,
    lease: Duration,
    deadline: Duration,
}

impl Lane {
    /// A lane without tasks, and what waits in its queue.
    pub(super) fn new(
        node: &Arc<Node>,
        provider: Arc<dyn Provider>,
        dispatch: &Arc<DispatchSettings>,
        settings: LaneSettings,
        entropy: &Entropy,
        settler: Settler,
        metrics: Arc<ProviderMetrics>,
    ) -> Result<(Self, mpsc::Receiver<Held>), BreakerSettingsError> {
        let (queue, waiting) = Queue::new(held_max(&settings, dispatch.lease));
        let lane = Self {
            circuit: Circuit::new(
                &settings,
                provider.name().clone(),
                Arc::clone(node),
                Arc::clone(&metrics),
                entropy.child("breaker"),
            )?,
            rules: Rules {
                attempts_max: dispatch.attempts_max,
                backoff: dispatch.backoff,
            },
            jitter: entropy.child("backoff"),
            due: node.wake_ups.of(provider.name()),
            node: Arc::clone(node),
            provider,
            dispatch: Arc::clone(dispatch),
            settings,
            queue,
            settler,
            metrics,
            stop: node.stop.child_token(),
            tasks: TaskTracker::new(),
        };
        Ok((lane, waiting))
    }

    /// A place for a message about to be accepted, if the breaker is closed and there is room.
    pub(super) fn reserve(&self, deadline: Duration, bytes: usize) -> Option<Reservation> {
        if self.stop.is_cancelled() || self.circuit.capacity() != Capacity::Unlimited {
            return None;
        }
        Some(Reservation {
            place: self.queue.reserve(bytes)?,
            began: self.node.clock.monotonic(),
            leased_at: lease_clock(&*self.node.clock),
            lease: self.dispatch.lease,
            deadline,
        })
    }

    /// Stops claiming, gives back what was not sent, and waits until the calls under way are settled.
    pub(super) async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.settler.flush().await;
    }

    pub(super) fn report(&self, now: Timestamp, queue: QueueReport) -> ProviderReport {
        let name = self.provider.name();
        ProviderReport {
            name: name.clone(),
            channels: self.provider.channels().to_vec(),
            breaker: self.circuit.report(now),
            queue,
            counts: CountsReport::of(&self.metrics),
        }
    }
}

impl Reservation {
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// Puts the stored message into the queue it was leased for.
    pub(crate) fn enqueue(self, id: MessageId, conversation_id: ConversationId, content: Arc<Content>) {
        let leased = Leased {
            id,
            conversation_id,
            content,
            token: FIRST_LEASE,
            progress: Progress::default(),
        };
        // Counted from before the accept, so that the lease ends here no later than in the database.
        let lease_ends = self.leased_at + self.lease;
        self.place
            .fill(leased, lease_ends, self.began.saturating_add(self.deadline));
    }
}

/// The clock by which leases are measured: monotonic, since a wall clock that is set back would make a lease longer here than in
/// the store.
pub(super) fn lease_clock(clock: &dyn Clock) -> Duration {
    clock.monotonic()
}

/// Entries that a lane holds in memory: no more than its workers get to while half of every lease is left, even if all calls
/// time out. Otherwise leases would expire in the queue, and attempts that were never made would go on record.
fn held_max(lane: &LaneSettings, lease: Duration) -> usize {
    let calls_per_half_lease = (lease / 2).div_duration_f64(lane.call_timeout) as u32;
    lane.concurrency * calls_per_half_lease.clamp(1, HELD_PER_WORKER_MAX) as usize
}
