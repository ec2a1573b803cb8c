//! Group commit: all waiting messages become one transaction.
//!
//! One task takes the waiting messages, up to a bound, and commits them; while that commit runs, the next batch gathers. There
//! is no timer: delaying a commit for a fuller batch only added latency when measured.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::Clock;
use parking_lot::Mutex;
use resilience::BatchSize;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{Accept, Accepted, Kind, Outage, Store, StoreError, Unavailable};

/// How long a message waits for its commit to begin.
const QUEUE_BUDGET: Duration = Duration::from_millis(1_300);
/// How long the wait and the commit of a message may take together. The client gets "outcome unknown" a little later, because
/// commit times vary.
const COMMIT_BUDGET: Duration = Duration::from_millis(1_400);
/// A message that has waited less than this is committed even if commits are slow: only a commit shows that they are quick again.
const FRESH: Duration = Duration::from_millis(100);
/// The time that batches are sized for: long compared with the fixed cost of a commit, short compared with the time that a
/// message may wait.
const COMMIT_TARGET: Duration = Duration::from_millis(400);
/// Bytes that share a commit. The minimum, which is also the first size, is some dozens of texts: a link of 200 KB/s carries it
/// within the target. Quick commits double the size, so starting low costs only a few commits. The maximum bounds memory. A
/// larger message has a commit of its own.
const COMMIT_BYTES_MIN: usize = 64 << 10;
const COMMIT_BYTES_MAX: usize = 8 << 20;
/// Bytes of a message besides its texts: its rows and index entries.
const ROWS_BYTES: usize = 512;
/// Bytes that may wait, so that memory is bounded: what a network of 400 Mbit/s carries while a message may wait. Once it is
/// reached, messages are refused at once.
const QUEUE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Clone, Copy)]
pub struct GroupCommitLimits {
    /// Requests that may wait. More are refused at once.
    pub queue_max: usize,
    /// Requests that share a commit.
    pub batch_max: usize,
}

/// A finished commit, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct CommitReport {
    pub messages: usize,
    pub took: Duration,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// Too many requests wait already. Nothing was stored.
    #[error("too many messages are waiting to be stored")]
    Overloaded,
    /// The store is away or too slow. Nothing was stored.
    #[error("the store is unavailable: {0}")]
    Unavailable(Unavailable),
    /// The store did not say whether it committed: the message may be stored or not.
    #[error("the message may or may not be stored: {0}")]
    OutcomeUnknown(String),
    /// The store refuses this message for good.
    #[error("the store refuses this message: {0}")]
    Refused(String),
}

/// The queue in front of the committing task.
pub struct GroupCommit {
    queue: mpsc::Sender<QueuedAccept>,
    queued_bytes: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
}

/// A request in the queue. It is taken out of its slot once: by the committing task, which stores it, or by the requester, which
/// withdraws it after waiting too long.
struct QueuedAccept {
    slot: Slot,
    bytes: usize,
    /// When it was queued, on the monotonic clock.
    since: Duration,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Accepted, AcceptError>>;
type Slot = Arc<Mutex<Option<(Accept, Weight)>>>;

/// The bytes of a waiting message. They count until this is dropped.
struct Weight {
    bytes: usize,
    queued_bytes: Arc<AtomicUsize>,
}

impl Weight {
    fn put(queued_bytes: &Arc<AtomicUsize>, bytes: usize) -> Self {
        queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let queued_bytes = Arc::clone(queued_bytes);
        Self { bytes, queued_bytes }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl GroupCommit {
    /// The queue, and the committing task, which the caller runs. The task ends when the queue is dropped and the waiting requests
    /// are answered.
    pub fn new(
        store: Arc<dyn Store>,
        limits: GroupCommitLimits,
        clock: Arc<dyn Clock>,
        report: impl Fn(CommitReport) + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(limits.queue_max);
        let committer = Committer {
            store,
            clock: Arc::clone(&clock),
            report: Box::new(report),
            batch_max: limits.batch_max,
            size: BatchSize::new(
                COMMIT_BYTES_MIN,
                COMMIT_BYTES_MIN,
                COMMIT_BYTES_MAX,
                COMMIT_TARGET,
            ),
            last: [Duration::ZERO; 2],
        };
        let group_commit = Self {
            queue,
            queued_bytes: Arc::default(),
            clock,
        };
        (group_commit, committer.run(waiting))
    }

    /// Stores a message durably, together with the other waiting ones. The message is in the queue when this returns.
    ///
    /// It is not stored if its commit does not begin within `QUEUE_BUDGET`, or would end after `COMMIT_BUDGET`. Once the commit
    /// has begun, the future waits for its result, however long that takes. A caller that must answer sooner sets its own
    /// timeout and lets the future run on.
    pub fn accept(
        &self,
        accept: Accept,
    ) -> impl Future<Output = Result<Accepted, AcceptError>> + Send + 'static {
        let bytes = size(&accept);
        let has_room = self.queued_bytes.load(Ordering::Relaxed) < QUEUE_BYTES_MAX;
        let weight = Weight::put(&self.queued_bytes, bytes);
        let slot = Arc::new(Mutex::new(Some((accept, weight))));
        let (reply, mut answer) = oneshot::channel();
        let waiting = QueuedAccept {
            slot: Arc::clone(&slot),
            bytes,
            since: self.clock.monotonic(),
            reply,
        };
        let queued = match has_room {
            true => self.queue.try_send(waiting).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => AcceptError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => unavailable(Outage::Away, "shutting down"),
            }),
            false => Err(AcceptError::Overloaded),
        };
        // The future does not hold the message, so it is small.
        async move {
            queued?;
            let answer = match tokio::time::timeout(QUEUE_BUDGET, &mut answer).await {
                Ok(answer) => answer,
                Err(_) if withdraw(&slot) => return Err(too_late()),
                Err(_) => answer.await,
            };
            answer.unwrap_or_else(|_| {
                Err(AcceptError::OutcomeUnknown(
                    "the task that commits messages ended".to_owned(),
                ))
            })
        }
    }

    /// Completes when the committing task has ended. While the queue exists, only a panic ends it.
    pub async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Whether another request would be refused, so that callers can refuse it before doing any work.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.capacity() == 0 || self.queued_bytes.load(Ordering::Relaxed) >= QUEUE_BYTES_MAX
    }
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GroupCommit({} of {} free)",
            self.queue.capacity(),
            self.queue.max_capacity()
        )
    }
}

struct Committer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    report: Box<dyn Fn(CommitReport) + Send + Sync>,
    batch_max: usize,
    /// Of a batch, in bytes.
    size: BatchSize,
    /// The time per [`COMMIT_BYTES_MIN`] that the last two commits took.
    last: [Duration; 2],
}

impl Committer {
    async fn run(mut self, mut queue: mpsc::Receiver<QueuedAccept>) {
        let mut taken = Vec::with_capacity(self.batch_max);
        while queue.recv_many(&mut taken, self.batch_max).await > 0 {
            while !taken.is_empty() {
                let (batch, replies) = self.next_part(&mut taken);
                self.commit_and_answer(&batch, replies).await;
            }
        }
    }

    /// Commits a batch and answers it. A batch that the store refuses for good is bisected, so that one bad message does not fail
    /// the others.
    async fn commit_and_answer(&mut self, batch: &[Accept], replies: Vec<Reply>) {
        let mut replies: Vec<Option<Reply>> = replies.into_iter().map(Some).collect();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        if !batch.is_empty() {
            ranges.push(0..batch.len());
        }
        while let Some(range) = ranges.pop() {
            let part = &batch[range.clone()];
            let answers = match self.commit(part).await {
                Ok(accepted) => accepted.into_iter().map(Ok).collect(),
                Err(StoreError::Refused(_)) if part.len() > 1 => {
                    let middle = range.start + part.len() / 2;
                    ranges.extend([middle..range.end, range.start..middle]);
                    continue;
                }
                Err(StoreError::Refused(reason)) => vec![Err(AcceptError::Refused(reason))],
                Err(StoreError::Unavailable(reason)) => {
                    vec![Err(AcceptError::Unavailable(reason)); part.len()]
                }
                Err(StoreError::OutcomeUnknown(reason)) => self.look_up(part, &reason).await,
            };
            for (reply, answer) in replies[range].iter_mut().zip(answers) {
                // A requester that has stopped waiting needs no answer.
                let _ = reply.take().map(|reply| reply.send(answer));
            }
        }
    }

    async fn commit(&mut self, part: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let began = self.clock.monotonic();
        let result = self.store.accept(part).await;
        let took = self.clock.monotonic().saturating_sub(began);
        (self.report)(CommitReport {
            messages: part.len(),
            took,
        });
        let bytes = part.iter().map(size).sum::<usize>();
        match &result {
            Ok(_) => self.size.succeeded(bytes, took),
            Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) if took > COMMIT_TARGET => {
                self.size.failed(bytes, took);
            }
            Err(_) => {}
        }
        self.last = [self.last[1], took.div_f64(commits_of_min(bytes))];
        result
    }

    /// How long a commit will probably take. It is based on the quicker one of the last two, because single slow commits are
    /// normal and no reason to refuse messages.
    fn expect(&self, bytes: usize) -> Duration {
        self.last[0].min(self.last[1]).mul_f64(commits_of_min(bytes))
    }

    /// Takes the next batch from the waiting messages, leaves out withdrawn ones, and refuses those whose commit would end too
    /// late. A message stays in its slot until its own commit begins, so it can be withdrawn until then.
    fn next_part(&self, waiting: &mut Vec<QueuedAccept>) -> (Vec<Accept>, Vec<Reply>) {
        let mut bytes = 0;
        let fits = |waiting: &&QueuedAccept| {
            bytes += waiting.bytes;
            bytes <= self.size.get()
        };
        let count = waiting.iter().take_while(fits).count().max(1);
        let bytes = waiting[..count].iter().map(|waiting| waiting.bytes).sum();
        let wait_max = COMMIT_BUDGET.saturating_sub(self.expect(bytes)).max(FRESH);
        let now = self.clock.monotonic();
        let (mut part, mut replies) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for waiting in waiting.drain(..count) {
            let Some(accept) = take(&waiting.slot) else {
                continue;
            };
            if now.saturating_sub(waiting.since) > wait_max {
                let _ = waiting.reply.send(Err(too_late()));
                continue;
            }
            part.push(accept);
            replies.push(waiting.reply);
        }
        (part, replies)
    }

    /// After a commit without an answer: messages that are found are stored; others may still be.
    async fn look_up(&self, batch: &[Accept], reason: &str) -> Vec<Result<Accepted, AcceptError>> {
        let unknown = || Err(AcceptError::OutcomeUnknown(reason.to_owned()));
        match self.store.find_accepted(batch).await {
            Ok(found) => found
                .into_iter()
                .map(|found| found.map_or_else(unknown, Ok))
                .collect(),
            Err(_) => batch.iter().map(|_| unknown()).collect(),
        }
    }
}

/// `bytes` in commits of the smallest size, at least 1: below that size, bytes do not matter.
fn commits_of_min(bytes: usize) -> f64 {
    bytes.max(COMMIT_BYTES_MIN) as f64 / COMMIT_BYTES_MIN as f64
}

/// Bytes of a stored message.
fn size(accept: &Accept) -> usize {
    let payload = match &accept.kind {
        Kind::Receive { payload, .. } => payload.len(),
        Kind::Send { .. } => 0,
    };
    accept.message.content.bytes() + payload + ROWS_BYTES
}

fn too_late() -> AcceptError {
    let reason =
        "no commit began within the time a client waits: the database is slower than messages arrive";
    unavailable(Outage::Busy, reason)
}

fn unavailable(outage: Outage, reason: impl Into<String>) -> AcceptError {
    let reason = reason.into();
    AcceptError::Unavailable(Unavailable { outage, reason })
}

/// Withdraws a message that has waited too long; false if its commit has begun.
fn withdraw(slot: &Slot) -> bool {
    take(slot).is_some()
}

fn take(slot: &Slot) -> Option<Accept> {
    let queued = slot.lock().take();
    queued.map(|(accept, _)| accept)
}
