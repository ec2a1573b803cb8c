use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Channel, FollowUp, LeaseToken, MessageId, ProviderName};
use parking_lot::Mutex;
use resilience::BatchSize;
use store::{Disposition, Leased, Settled, Settlement, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::{
    set_aside::{PAUSE_MAX, PAUSE_MIN, SetAside},
    work::Work,
};
use crate::{Node, metrics::ProviderMetrics};

/// Results that may wait in a lane's channel; its recorder holds as many again. Each takes less than 1 KiB. When both are full,
/// workers wait before their next call: a store that is away stops new calls, and loses no results.
pub(super) const WAITING_MAX: usize = 1_024;
/// How long to wait for more results before committing a batch. No request waits for them, and a transaction costs the store
/// as much for one as for thirty. A node that is killed before it records a result sends the message again, so this is short.
const LINGER: Duration = Duration::from_millis(5);
/// A batch that takes longer makes the next one smaller: half of what a statement may take.
const SLOW: Duration = Duration::from_millis(600);

/// Records the results of one lane in batches. A result that keeps failing is set aside, so that it delays no other.
pub(super) struct Recorder {
    node: Arc<Node>,
    provider: ProviderName,
    metrics: Arc<ProviderMetrics>,
    waiting: mpsc::Receiver<Item>,
    state: Arc<RecorderState>,
    closed: bool,
    /// Results for the next batches, in this order.
    ready: VecDeque<Work>,
    flushes: Vec<oneshot::Sender<()>>,
    /// Of a batch, in settlements and releases.
    size: BatchSize,
    /// How many results at the front of `ready` have waited since the store last failed.
    overdue: usize,
    /// How long to leave a failing store alone.
    pause: Duration,
    /// Whether a batch of one result has failed since the last success.
    failed_alone: bool,
    aside: SetAside,
}

pub(super) enum Item {
    Work(Work),
    /// Answered once everything before it is recorded.
    Flush(oneshot::Sender<()>),
}

/// The state of the recorder that its lane reads.
#[derive(Default)]
pub(super) struct RecorderState {
    /// Whether results that were ready when the store failed still wait.
    behind: AtomicBool,
    any_sent: AtomicBool,
    /// Messages that the provider has and whose results are set aside.
    sent: Mutex<BTreeMap<MessageId, Sent>>,
}

/// A message that the provider has, and whose result is not recorded.
struct Sent {
    /// The lease under which it was sent.
    token: LeaseToken,
    follow_ups: Vec<FollowUp>,
}

impl Recorder {
    pub(super) fn new(
        node: &Arc<Node>,
        provider: ProviderName,
        metrics: Arc<ProviderMetrics>,
        batch_max: usize,
        waiting: mpsc::Receiver<Item>,
        state: Arc<RecorderState>,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            provider,
            metrics,
            waiting,
            state,
            closed: false,
            ready: VecDeque::new(),
            flushes: Vec::new(),
            size: BatchSize::new(1, batch_max, batch_max, SLOW),
            overdue: 0,
            pause: Duration::ZERO,
            failed_alone: false,
            aside: SetAside::new(),
        }
    }

    /// Runs until its lane has ended and everything is recorded.
    pub(super) async fn run(mut self) {
        while self.gather().await {
            self.record_ready().await;
            self.retry_aside().await;
            if self.pending() == 0 {
                for done in mem::take(&mut self.flushes) {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Waits for work, then a moment for more of it. False when the lane has ended and everything is recorded.
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

    /// Waits for the next item, or until something set aside is due. False when nothing is left to do.
    async fn receive(&mut self) -> bool {
        // Results that are set aside take all places: the workers wait.
        let no_more = self.closed || self.pending() >= WAITING_MAX;
        let received = match self.aside.due_in(self.now()) {
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

    fn sort(&mut self, item: Item) {
        match item {
            Item::Work(work) if self.aside.has(work.id()) => self.aside.push_later(work, self.now()),
            Item::Work(work) => self.ready.push_back(work),
            Item::Flush(done) => self.flushes.push(done),
        }
    }

    fn pending(&self) -> usize {
        self.ready.len() + self.aside.len()
    }

    fn now(&self) -> Duration {
        self.node.clock.monotonic()
    }

    /// Records a batch of what is ready. If that fails, the next batch is smaller, until what fails is alone.
    async fn record_ready(&mut self) {
        // After a freeze, the result under a lost lease may come together with the one under the next lease. A batch has each
        // message once, and the earlier result goes first.
        let mut ids = BTreeSet::new();
        let firsts = self.ready.iter().take(self.size.get());
        let count = firsts.take_while(|work| ids.insert(work.id())).count();
        if count == 0 {
            return;
        }
        let batch = self.ready.drain(..count).collect();
        let began = self.now();
        let recorded = self.record(batch).await;
        let took = self.now().saturating_sub(began);
        match recorded {
            Ok(()) => {
                self.size.succeeded(count, took);
                (self.pause, self.failed_alone) = (Duration::ZERO, false);
                self.overdue = self.overdue.saturating_sub(count);
                if self.overdue == 0 && self.state.set_behind(false) {
                    tracing::info!(provider = %self.provider, "results of calls are recorded again");
                }
            }
            Err((mut left, error)) => {
                if !self.state.set_behind(true) {
                    tracing::warn!(
                        provider = %self.provider, %error,
                        "results of calls cannot be recorded: they are kept and retried, and no message is claimed meanwhile"
                    );
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
                self.state.set_behind(self.overdue > 0);
            }
        }
    }

    /// Sets aside the first result that fails alone. If the next one fails alone too, the cause is probably the store: it goes to
    /// the back of the queue, and all wait.
    fn put_off(&mut self, work: Work, error: &StoreError) {
        if mem::replace(&mut self.failed_alone, true) {
            self.ready.push_back(work);
            self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            return;
        }
        tracing::warn!(
            message_id = %work.id(), provider = %self.provider, %error,
            "the result of a call is set aside: it is kept and retried, and other results are recorded"
        );
        if let Work::Settle(settlement, _) = &work
            && settlement.disposition == Disposition::Finish
        {
            self.state.note_sent(settlement);
        }
        self.aside.push(work, self.now());
        self.show_set_aside();
    }

    /// Retries the first result that is set aside, if it is due.
    async fn retry_aside(&mut self) {
        if !self.pause.is_zero() {
            return;
        }
        let Some(work) = self.aside.take_due(self.now()) else {
            return;
        };
        let id = work.id();
        match self.record(vec![work]).await {
            Ok(()) => {
                // The store takes results: the next one that fails alone is at fault itself.
                self.failed_alone = false;
                self.aside.recorded();
                self.show_set_aside();
                self.state.forget_sent(id);
            }
            Err((left, error)) => {
                tracing::debug!(message_id = %id, provider = %self.provider, %error, "still set aside");
                self.aside.failed(left, self.now());
            }
        }
    }

    /// Records a batch, or returns what is not recorded. A repeat is harmless: the lease token lets a settlement take effect once.
    async fn record(&mut self, batch: Vec<Work>) -> Result<(), (Vec<Work>, StoreError)> {
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
            match self.node.store.settle(&settlements).await {
                Ok(settled) => {
                    self.node.events.changed();
                    if settlements
                        .iter()
                        .any(|settlement| !settlement.follow_ups.is_empty())
                    {
                        self.node.followed.notify_one();
                    }
                    let all = settlements.drain(..).zip(channels.drain(..)).zip(settled);
                    for ((settlement, channel), settled) in all {
                        self.note(settlement, channel, settled);
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        if failure.is_none() && !releases.is_empty() {
            match self.node.store.release(&releases).await {
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

    fn note(&mut self, settlement: Settlement, channel: Channel, settled: Settled) {
        let (id, provider) = (settlement.id, &self.provider);
        match settled {
            Settled::Applied => {}
            Settled::LeaseLost => {
                tracing::info!(
                    message_id = %id, %provider,
                    "a lease was lost before its result was recorded: the result is noted beside the attempt"
                );
                return;
            }
            Settled::RerouteRefused => {
                tracing::error!(
                    message_id = %id, %provider,
                    "the store refuses to reroute a message that a provider may have: this provider retries it"
                );
                let after = Duration::ZERO;
                let disposition = Disposition::Retry { after };
                let settlement = Settlement {
                    disposition,
                    ..settlement
                };
                return self.ready.push_back(Work::Settle(settlement, channel));
            }
        }
        if let Some(attempt) = &settlement.tried {
            self.metrics.count_attempt(channel, attempt.outcome);
            self.metrics.observe_latency(attempt.latency);
        }
        match settlement.disposition {
            Disposition::Finish | Disposition::Retry { .. } => {}
            Disposition::Reroute { provider: next } => {
                tracing::info!(message_id = %id, %provider, %next, "a message moves to the next provider of its route");
                self.node.wake_ups.wake(&next);
            }
            Disposition::DeadLetter(reason) => {
                self.metrics.count_dead_letter(reason);
                tracing::warn!(
                    message_id = %id, %provider, %reason,
                    "a message became a dead letter: it is kept until it is redriven"
                );
            }
        }
    }

    fn show_set_aside(&self) {
        self.metrics.set_settlements_set_aside(self.aside.len());
    }
}

impl RecorderState {
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Returns the value before.
    pub(super) fn set_behind(&self, behind: bool) -> bool {
        self.behind.swap(behind, Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self, settlement: &Settlement) {
        let sent = Sent {
            token: settlement.token,
            follow_ups: settlement.follow_ups.clone(),
        };
        self.sent.lock().insert(settlement.id, sent);
        self.any_sent.store(true, Ordering::Relaxed);
    }

    pub(super) fn forget_sent(&self, id: MessageId) {
        let mut sent = self.sent.lock();
        sent.remove(&id);
        self.any_sent.store(!sent.is_empty(), Ordering::Relaxed);
    }

    /// The follow-ups of an entry that was sent under the lease before this one; `None` if it was not.
    pub(super) fn sent_before(&self, leased: &Leased) -> Option<Vec<FollowUp>> {
        if !self.any_sent.load(Ordering::Relaxed) {
            return None;
        }
        let sent = self.sent.lock();
        let sent = sent.get(&leased.id)?;
        (sent.token.0 + 1 == leased.token.0).then(|| sent.follow_ups.clone())
    }
}
