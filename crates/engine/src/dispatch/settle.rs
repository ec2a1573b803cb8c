use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Channel, LeaseToken, MessageId, ProviderName};
use store::{Disposition, Settled, Settlement, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::{Metrics, vital::Vital};

/// Settlements that may wait. Beyond, workers wait before their next call: a store that is away stops the calls, not
/// the record of what was called.
const WAITING_MAX: usize = 1_024;
/// How long what came of calls waits for company: nobody waits for it, and a transaction costs the store as much for one
/// as for thirty. What a node knows and has not recorded when it is killed is sent again, so this is not long.
const LINGER: Duration = Duration::from_millis(5);
/// How long to wait before the store is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Records what came of leased entries: what comes within a few milliseconds becomes one transaction.
#[derive(Clone)]
pub(crate) struct Settler {
    queue: mpsc::Sender<Item>,
    behind: Arc<AtomicBool>,
}

enum Item {
    Settle(Settlement, Tally),
    Release(MessageId, LeaseToken),
    /// Answered once everything before it is done.
    Flush(oneshot::Sender<()>),
}

/// What to count once a settlement is durable.
pub(super) struct Tally {
    pub(super) provider: ProviderName,
    pub(super) channel: Channel,
}

impl Settler {
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        metrics: &Arc<Metrics>,
        batch_max: usize,
        vital: &Vital,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let behind = Arc::new(AtomicBool::new(false));
        let recorder = Recorder {
            store: Arc::clone(store),
            metrics: Arc::clone(metrics),
            batch_max,
            behind: Arc::clone(&behind),
        };
        vital.spawn_apart("settle", recorder.run(waiting));
        Self { queue, behind }
    }

    /// Whether the store is away, and what came of calls waits to be recorded.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Has a settlement recorded.
    pub(super) async fn settle(&self, settlement: Settlement, tally: Tally) {
        self.put(Item::Settle(settlement, tally)).await;
    }

    /// Has an entry given back that nobody tried to send.
    pub(super) async fn release(&self, id: MessageId, token: LeaseToken) {
        self.put(Item::Release(id, token)).await;
    }

    /// Waits until all that was put in before is recorded.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.put(Item::Flush(done)).await;
        let _ = flushed.await;
    }

    async fn put(&self, item: Item) {
        // The recording task ends only with the last sender, or with the whole process.
        let _ = self.queue.send(item).await;
    }
}

struct Recorder {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    batch_max: usize,
    behind: Arc<AtomicBool>,
}

impl Recorder {
    async fn run(self, mut waiting: mpsc::Receiver<Item>) {
        let mut taken = Vec::with_capacity(self.batch_max);
        while waiting.recv_many(&mut taken, self.batch_max).await > 0 {
            self.gather(&mut taken, &mut waiting).await;
            let (mut settlements, mut tallies, mut releases, mut flushes) = (vec![], vec![], vec![], vec![]);
            let mut ids = BTreeSet::new();
            for item in taken.drain(..) {
                match item {
                    Item::Settle(settlement, tally) => {
                        // A node that stood still may bring a try under a lost lease together with one under its next:
                        // a batch has each message once, and the earlier goes first.
                        if !ids.insert(settlement.id) {
                            self.settle(&settlements, &tallies).await;
                            (ids, settlements, tallies) = (BTreeSet::from([settlement.id]), vec![], vec![]);
                        }
                        settlements.push(settlement);
                        tallies.push(tally);
                    }
                    Item::Release(id, token) => releases.push((id, token)),
                    Item::Flush(done) => flushes.push(done),
                }
            }
            self.settle(&settlements, &tallies).await;
            self.release(&releases).await;
            flushes.into_iter().for_each(|done| {
                let _ = done.send(());
            });
        }
    }

    /// Waits for more, unless there is enough already, or somebody waits for an end.
    async fn gather(&self, taken: &mut Vec<Item>, waiting: &mut mpsc::Receiver<Item>) {
        if taken.len() == self.batch_max || taken.iter().any(|item| matches!(item, Item::Flush(_))) {
            return;
        }
        tokio::time::sleep(LINGER).await;
        while taken.len() < self.batch_max
            && let Ok(item) = waiting.try_recv()
        {
            taken.push(item);
        }
    }

    async fn settle(&self, settlements: &[Settlement], tallies: &[Tally]) {
        if settlements.is_empty() {
            return;
        }
        match self.settle_durably(settlements).await {
            Ok(settled) => {
                for ((settlement, tally), settled) in settlements.iter().zip(tallies).zip(settled) {
                    self.count(settlement, tally, settled);
                }
            }
            Err(error) if settlements.len() == 1 => {
                // Its lease runs out, and the try is on record as unknown then.
                tracing::error!(message_id = %settlements[0].id, %error, "the store refuses a settlement");
            }
            Err(_) => {
                let (first, second) = settlements.split_at(settlements.len() / 2);
                let (first_tallies, second_tallies) = tallies.split_at(first.len());
                Box::pin(self.settle(first, first_tallies)).await;
                Box::pin(self.settle(second, second_tallies)).await;
            }
        }
    }

    async fn release(&self, releases: &[(MessageId, LeaseToken)]) {
        if releases.is_empty() {
            return;
        }
        if let Err(error) = self.release_durably(releases).await {
            tracing::error!(%error, "the store refuses a release: the leases run out instead");
        }
    }

    /// Asks until the store answers. Asking twice does no harm: the lease token lets a settlement take effect once.
    async fn settle_durably(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        loop {
            match self.store.settle(settlements).await {
                Err(error) if is_passing(&error) => self.put_off(&error).await,
                answer => {
                    self.behind.store(false, Ordering::Relaxed);
                    return answer;
                }
            }
        }
    }

    async fn release_durably(&self, releases: &[(MessageId, LeaseToken)]) -> Result<u64, StoreError> {
        loop {
            match self.store.release(releases).await {
                Err(error) if is_passing(&error) => self.put_off(&error).await,
                answer => {
                    self.behind.store(false, Ordering::Relaxed);
                    return answer;
                }
            }
        }
    }

    async fn put_off(&self, error: &StoreError) {
        if !self.behind.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "what came of calls cannot be recorded yet");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }

    fn count(&self, settlement: &Settlement, tally: &Tally, settled: Settled) {
        let Tally { provider, channel } = tally;
        if settled == Settled::LeaseLost {
            tracing::info!(message_id = %settlement.id, %provider, "the lease was lost before the try was recorded");
            return;
        }
        if let Some(tried) = &settlement.tried {
            self.metrics.count_attempt(provider, *channel, tried.outcome);
            self.metrics.observe_latency(provider, tried.latency);
        }
        if let Disposition::DeadLetter(failure) = &settlement.disposition {
            self.metrics.count_dead_letter(provider, failure.reason);
            tracing::warn!(
                message_id = %settlement.id, %provider, reason = %failure.reason, "a message became a dead letter"
            );
        }
    }
}

fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))
}
