use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Channel, Clock, LeaseToken, MessageId, ProviderName};
use parking_lot::{Mutex, MutexGuard};
use resilience::BatchSize;
use store::{Disposition, Leased, Settled, Settlement, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::ProviderMetrics;

/// Settlements of a lane that may wait, as many again may be at hand to be recorded. One has less than a kibibyte. Beyond,
/// workers wait before their next call: a store that is away stops the calls, not the record of what was called.
const WAITING_MAX: usize = 1_024;
/// How long to wait for more settlements before committing a batch. No request waits for them, and a transaction costs the store
/// as much for one as for thirty. What a node knows and has not recorded when it is killed is sent again, so this is not long.
const LINGER: Duration = Duration::from_millis(5);
/// A batch that takes longer makes the next one smaller: half of what a statement may take.
const SLOW: Duration = Duration::from_millis(600);
/// How long to wait before a store that fails is asked again. It doubles with each failure, up to the maximum: claims wait
/// until what a node knows is on record, and should not wait much longer than the store is away.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Records the settlements of one lane. Settlements that come within a few milliseconds share a transaction. A settlement is
/// kept until it is applied or its lease is lost. One that keeps failing is set aside, and does not hold up
/// the others.
#[derive(Clone)]
pub(crate) struct Settler {
    queue: mpsc::Sender<Item>,
    shared: Arc<Shared>,
}

/// What the lane may know of its recording task.
#[derive(Default)]
struct Shared {
    behind: AtomicBool,
    any_sent: AtomicBool,
    /// The messages that a provider has and whose settlements are set aside, with the lease under which each was sent.
    sent: Mutex<BTreeMap<MessageId, LeaseToken>>,
}

enum Item {
    Work(Work),
    /// Answered once everything before it is done.
    Flush(oneshot::Sender<()>),
}

#[derive(Clone)]
enum Work {
    Settle(Settlement, Channel),
    Release(MessageId, LeaseToken),
}

impl Work {
    fn id(&self) -> MessageId {
        match self {
            Self::Settle(settlement, _) => settlement.id,
            Self::Release(id, _) => *id,
        }
    }
}

impl Settler {
    /// The settler of a provider's lane, and its recording task, which ends with the last settler.
    pub(crate) fn new(
        provider: ProviderName,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<ProviderMetrics>,
        batch_max: usize,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let recorder = Recorder {
            provider,
            store,
            clock,
            metrics,
            shared: Arc::clone(&shared),
            waiting,
            closed: false,
            ready: VecDeque::new(),
            flushes: Vec::new(),
            size: BatchSize::new(1, batch_max, batch_max, SLOW),
            overdue: 0,
            pause: Duration::ZERO,
            failed_alone: false,
            aside: VecDeque::new(),
            aside_pause: PAUSE_MIN,
            aside_due: Duration::ZERO,
        };
        (Self { queue, shared }, recorder.run())
    }

    /// Whether the store did not take what is known of calls, and not all of it is recorded since.
    pub(super) fn is_behind(&self) -> bool {
        self.shared.behind.load(Ordering::Relaxed)
    }

    /// Has a settlement recorded.
    pub(super) async fn settle(&self, settlement: Settlement, channel: Channel) {
        self.put(Item::Work(Work::Settle(settlement, channel))).await;
    }

    /// Has an entry given back that nobody tried to send.
    pub(super) async fn release(&self, id: MessageId, token: LeaseToken) {
        self.put(Item::Work(Work::Release(id, token))).await;
    }

    /// Finishes an entry that was sent, whose lease ran out while its settlement was set aside, and that was claimed again
    /// right after. False when it is not known to be sent: then it is to be.
    pub(super) async fn finish_sent(&self, leased: &Leased) -> bool {
        if !self.shared.any_sent.load(Ordering::Relaxed) {
            return false;
        }
        let sent = self.shared.sent().get(&leased.id).copied();
        if sent.is_none_or(|token| token.0 + 1 != leased.token.0) {
            return false;
        }
        let settlement = Settlement {
            id: leased.id,
            token: leased.token,
            tried: None,
            disposition: Disposition::Finish,
            progress: leased.progress,
        };
        self.settle(settlement, leased.content.channel).await;
        true
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

impl Shared {
    fn sent(&self) -> MutexGuard<'_, BTreeMap<MessageId, LeaseToken>> {
        self.sent.lock()
    }
}

struct Recorder {
    provider: ProviderName,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<ProviderMetrics>,
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Item>,
    closed: bool,
    /// What goes into the next batches, in this order.
    ready: VecDeque<Work>,
    flushes: Vec<oneshot::Sender<()>>,
    /// Settlements and releases that go together.
    size: BatchSize,
    /// How many of the first that are ready were there when the store failed.
    overdue: usize,
    /// How long to leave a store alone that fails, whatever it is asked.
    pause: Duration,
    /// Whether the last that was tried failed, and was alone.
    failed_alone: bool,
    /// What failed alone while others did not: tried one by one, beside the others.
    aside: VecDeque<Work>,
    aside_pause: Duration,
    /// When the first of those set aside is tried again, on the monotonic clock.
    aside_due: Duration,
}

impl Recorder {
    async fn run(mut self) {
        while self.gather().await {
            self.record_ready().await;
            self.retry_aside().await;
            if self.ready.is_empty() && self.aside.is_empty() {
                for done in mem::take(&mut self.flushes) {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Waits for work, then a moment for more of it. False when the lane has ended and all is recorded.
    async fn gather(&mut self) -> bool {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        if self.ready.is_empty() && !self.receive().await {
            return false;
        }
        let may_linger = self.flushes.is_empty() && self.overdue == 0;
        if may_linger && (1..self.size.get()).contains(&self.ready.len()) {
            tokio::time::sleep(LINGER).await;
        }
        while self.pending() < WAITING_MAX
            && let Ok(item) = self.waiting.try_recv()
        {
            self.sort(item);
        }
        true
    }

    /// Waits for the next item, or until something set aside is due. False when nothing is left to be done.
    async fn receive(&mut self) -> bool {
        let now = self.clock.monotonic();
        let wait = (!self.aside.is_empty()).then(|| self.aside_due.saturating_sub(now));
        // When all places are taken by what is set aside, the workers wait.
        let no_more = self.closed || self.pending() >= WAITING_MAX;
        let received = match wait {
            Some(wait) if no_more => {
                tokio::time::sleep(wait).await;
                None
            }
            Some(wait) => tokio::time::timeout(wait, self.waiting.recv()).await.ok(),
            None if self.closed => return false,
            None => Some(self.waiting.recv().await),
        };
        match received {
            Some(Some(item)) => self.sort(item),
            Some(None) => self.closed = true,
            None => {}
        }
        true
    }

    fn pending(&self) -> usize {
        self.ready.len() + self.aside.len()
    }

    fn sort(&mut self, item: Item) {
        match item {
            // Its entry was claimed again: what is known of the try before goes first, and can be recorded by now.
            Item::Work(work) if self.aside.iter().any(|earlier| earlier.id() == work.id()) => {
                self.aside.push_back(work);
                self.aside_due = self.clock.monotonic();
            }
            Item::Work(work) => self.ready.push_back(work),
            Item::Flush(done) => self.flushes.push(done),
        }
    }

    /// Records a batch of what is ready. If that fails, the next batch is smaller, until what fails is alone.
    async fn record_ready(&mut self) {
        // A node that stood still may bring a try under a lost lease together with one under its next: a batch has each
        // message once, and the earlier goes first.
        let mut ids = BTreeSet::new();
        let firsts = self.ready.iter().take(self.size.get());
        let count = firsts.take_while(|work| ids.insert(work.id())).count();
        if count == 0 {
            return;
        }
        let batch = self.ready.drain(..count).collect();
        let began = self.clock.monotonic();
        let recorded = self.record(batch).await;
        let took = self.clock.monotonic().saturating_sub(began);
        match recorded {
            Ok(()) => {
                self.size.succeeded(count, took);
                (self.pause, self.failed_alone) = (Duration::ZERO, false);
                self.overdue = self.overdue.saturating_sub(count);
                if self.overdue == 0 && self.shared.behind.swap(false, Ordering::Relaxed) {
                    tracing::info!(provider = %self.provider, "the results of calls are recorded again");
                }
            }
            Err((mut left, error)) => {
                if !self.shared.behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(provider = %self.provider, %error, "the results of calls cannot be recorded yet");
                }
                self.size.failed(count, took);
                match left.pop() {
                    Some(alone) if left.is_empty() && count == 1 => self.put_off(alone, &error),
                    last => left
                        .into_iter()
                        .chain(last)
                        .rev()
                        .for_each(|work| self.ready.push_front(work)),
                }
                self.overdue = self.ready.len();
                self.shared.behind.store(self.overdue > 0, Ordering::Relaxed);
            }
        }
    }

    /// The first that fails alone is set aside. When the next fails too, it is probably the store: all wait, and take turns.
    fn put_off(&mut self, work: Work, error: &StoreError) {
        if mem::replace(&mut self.failed_alone, true) {
            self.ready.push_back(work);
            self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            return;
        }
        tracing::warn!(
            message_id = %work.id(), provider = %self.provider, %error,
            "the result of a call is set aside: it is recorded as soon as the store takes it"
        );
        if let Work::Settle(settlement, _) = &work
            && settlement.disposition == Disposition::Finish
        {
            self.shared.sent().insert(settlement.id, settlement.token);
            self.shared.any_sent.store(true, Ordering::Relaxed);
        }
        if self.aside.is_empty() {
            self.aside_pause = PAUSE_MIN;
            self.aside_due = self.clock.monotonic() + PAUSE_MIN;
        }
        self.aside.push_back(work);
        self.metrics.set_settlements_set_aside(self.aside.len());
    }

    /// Tries the first of those set aside again, if it is time: one by one, with pauses between failures, so that the others
    /// have most of the time.
    async fn retry_aside(&mut self) {
        let now = self.clock.monotonic();
        if self.aside.is_empty() || now < self.aside_due || !self.pause.is_zero() {
            return;
        }
        let Some(work) = self.aside.pop_front() else {
            return;
        };
        let id = work.id();
        match self.record(vec![work]).await {
            Ok(()) => {
                // The store takes results: the next that fails alone is at fault itself.
                self.failed_alone = false;
                self.aside_pause = PAUSE_MIN;
                self.metrics.set_settlements_set_aside(self.aside.len());
                let mut sent = self.shared.sent();
                sent.remove(&id);
                self.shared.any_sent.store(!sent.is_empty(), Ordering::Relaxed);
            }
            Err((left, error)) => {
                tracing::debug!(message_id = %id, provider = %self.provider, %error, "still set aside");
                self.aside.extend(left);
                self.aside_due = self.clock.monotonic() + self.aside_pause;
                self.aside_pause = (self.aside_pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Records this, or returns what is not recorded. Asking twice does no harm: the lease token lets a settlement take
    /// effect once.
    async fn record(&self, batch: Vec<Work>) -> Result<(), (Vec<Work>, StoreError)> {
        let (mut settlements, mut channels, mut releases) = (vec![], vec![], vec![]);
        for work in batch {
            match work {
                Work::Settle(settlement, channel) => {
                    settlements.push(settlement);
                    channels.push(channel);
                }
                Work::Release(id, token) => releases.push((id, token)),
            }
        }
        let mut failure = None;
        if !settlements.is_empty() {
            match self.store.settle(&settlements).await {
                Ok(settled) => {
                    let all = settlements.drain(..).zip(channels.drain(..)).zip(settled);
                    all.for_each(|((settlement, channel), settled)| {
                        self.count(&settlement, channel, settled)
                    });
                }
                Err(error) => failure = Some(error),
            }
        }
        if failure.is_none() && !releases.is_empty() {
            match self.store.release(&releases).await {
                Ok(_) => releases.clear(),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else { return Ok(()) };
        let settlements = settlements.into_iter().zip(channels);
        let left = settlements.map(|(settlement, channel)| Work::Settle(settlement, channel));
        let releases = releases.into_iter().map(|(id, token)| Work::Release(id, token));
        Err((left.chain(releases).collect(), error))
    }

    fn count(&self, settlement: &Settlement, channel: Channel, settled: Settled) {
        let provider = &self.provider;
        if settled == Settled::LeaseLost {
            tracing::info!(message_id = %settlement.id, %provider, "the lease was lost before the try was recorded");
            return;
        }
        if let Some(tried) = &settlement.tried {
            self.metrics.count_attempt(channel, tried.outcome);
            self.metrics.observe_latency(tried.latency);
        }
        if let Disposition::DeadLetter(reason) = settlement.disposition {
            self.metrics.count_dead_letter(reason);
            tracing::warn!(
                message_id = %settlement.id, %provider, %reason, "a message became a dead letter"
            );
        }
    }
}
