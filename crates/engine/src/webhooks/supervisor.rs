//! Leases endpoints that no node delivers to, and runs a task for each.

use std::{sync::Arc, time::Duration};

use domain::Entropy;
use store::{LeasedEndpoint, StoreError};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    ENDPOINTS_MAX, Outside, Running, Webhooks,
    delivery::{Delivery, LEASE},
};
use crate::{Node, dispatch::Dispatcher};

/// How often to look for endpoints that no node holds. A change on this node is noticed at once.
const POLL: Duration = Duration::from_secs(1);
/// Endpoints leased by one statement, at most: if its answer is lost, only so many wait for the end of the lease.
const LEASED_AT_ONCE_MAX: u32 = 16;

pub(super) fn start(webhooks: &Webhooks, dispatcher: &Arc<Dispatcher>, outside: Outside) {
    let node = &webhooks.node;
    let supervisor = Supervisor {
        node: Arc::clone(node),
        dispatcher: Arc::clone(dispatcher),
        jitter: Arc::new(webhooks.jitter.again()),
        changed: Arc::clone(&webhooks.changed),
        outside,
        running: Arc::clone(&webhooks.running),
    };
    let run = node.ends_with_drain.track_future(supervisor.run());
    node.critical_tasks.spawn("webhooks", run);
}

struct Supervisor {
    node: Arc<Node>,
    dispatcher: Arc<Dispatcher>,
    jitter: Arc<Entropy>,
    changed: Arc<Notify>,
    outside: Outside,
    running: Arc<Running>,
}

impl Supervisor {
    async fn run(mut self) {
        let stop = self.node.stop.clone();
        let _ = stop.run_until_cancelled(self.lease_and_run()).await;
    }

    async fn lease_and_run(&mut self) {
        let mut failing = false;
        loop {
            match self.lease_free().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            %error,
                            "webhook endpoints cannot be leased: their events wait until the store answers"
                        );
                    }
                }
            }
            let _ = timeout(POLL, self.changed.notified()).await;
        }
    }

    /// Leases every endpoint that is free now. One whose task gives its lease back meanwhile waits for the next time.
    async fn lease_free(&mut self) -> Result<(), StoreError> {
        for _ in 0..ENDPOINTS_MAX.div_ceil(LEASED_AT_ONCE_MAX) {
            let began = self.node.clock.monotonic();
            let leased = self.node.store.lease_endpoints(LEASE, LEASED_AT_ONCE_MAX).await?;
            self.running.lock().retain(|_, running| !running.is_cancelled());
            let count = leased.len();
            leased.into_iter().for_each(|leased| self.start(leased, began));
            if count < LEASED_AT_ONCE_MAX as usize {
                break;
            }
        }
        Ok(())
    }

    fn start(&mut self, leased: LeasedEndpoint, leased_at: Duration) {
        let id = leased.endpoint.id;
        let end = CancellationToken::new();
        if let Some(before) = self.running.lock().insert(id, end.clone()) {
            before.cancel();
        }
        let delivery = Delivery::new(
            &self.node,
            &self.dispatcher,
            &self.outside,
            &self.jitter,
            leased,
            leased_at,
        );
        let node = Arc::clone(&self.node);
        let changed = Arc::clone(&self.changed);
        let task = async move {
            let ended = end.clone().drop_guard();
            let delivering = end.run_until_cancelled(delivery.run()).await;
            drop(ended);
            if delivering.is_some() {
                if matches!(node.store.endpoint(id).await, Ok(None)) {
                    node.metrics.webhooks.remove(id);
                }
                changed.notify_one();
            }
        };
        let task = self.node.ends_with_drain.track_future(task);
        self.node.critical_tasks.spawn("webhook endpoint", task);
    }
}
