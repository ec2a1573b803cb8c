//! Leases endpoints that no node delivers to, and runs a task for each.

use std::{sync::Arc, time::Duration};

use domain::Entropy;
use store::LeasedEndpoint;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Outside, Running, Webhooks,
    delivery::{Delivery, LEASE},
    queue::PENDING_MAX,
};
use crate::{Node, dispatch::Dispatcher};

/// How often to look for endpoints that no node holds. A change on this node is noticed at once.
const POLL: Duration = Duration::from_secs(1);

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
            let began = self.node.clock.monotonic();
            let deliveries_max = u32::try_from(PENDING_MAX).unwrap_or(u32::MAX);
            match self.node.store.lease_endpoints(LEASE, deliveries_max).await {
                Ok(leased) => {
                    failing = false;
                    self.running.lock().retain(|_, running| !running.is_cancelled());
                    leased.into_iter().for_each(|leased| self.start(leased, began));
                }
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
