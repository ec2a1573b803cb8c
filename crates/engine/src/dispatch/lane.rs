//! One provider's lane: entries come in by hand-over or by claim, wait in a bounded queue, and are sent by a bounded
//! number of workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Content, ConversationId, Entropy, MessageId, Outcome, Timestamp};
use mutants::Mutant;
use providers::Provider;
use resilience::{BatchSize, Breaker, breaker::Capacity};
use store::{ClaimLimits, Claimed, FIRST_LEASE, Leased, Progress, Store};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    CountsReport, ProviderReport, QueueReport, circuit::Circuit, disposition::Rules, settle::Settler,
    worker::lease_clock,
};
use crate::{DispatchSettings, LaneSettings, Spawn, critical_tasks::CriticalTasks, metrics::ProviderMetrics};

/// Entries a lane holds in memory for each of its workers at most.
const HELD_PER_WORKER_MAX: u32 = 6;
/// Bytes of contents that a lane holds in memory, those of calls under way included: the largest message that the default
/// settings allow for each of a hundred workers. One claim more than that may be held.
const HELD_BYTES_MAX: usize = 32 << 20;
/// Bytes a claim asks for: at first what 1 Mbit/s carries within a statement's time, then as much as comes within
/// [`CLAIM_TARGET`], and so few at least that what gets lost is small. Large messages come one by one.
const CLAIM_BYTES_MIN: usize = 16 << 10;
const CLAIM_BYTES_FIRST: usize = 128 << 10;
const CLAIM_BYTES_MAX: usize = 1 << 20;
/// How long a claim should take at most: well below what a statement may take.
const CLAIM_TARGET: Duration = Duration::from_millis(500);

/// How soon a lane asks again when the store did not answer, however seldom it looks for what is due: an outage is over for
/// the messages when it is over for the store.
const STORE_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What a lane is made of.
pub(super) struct LaneParts {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) settings: DispatchSettings,
    pub(super) lane: LaneSettings,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Entropy,
    pub(super) metrics: Arc<ProviderMetrics>,
    pub(super) settler: Settler,
    pub(super) tasks: Arc<dyn Spawn>,
    pub(super) stop: CancellationToken,
}

pub(crate) struct Lane {
    pub(super) parts: LaneParts,
    pub(super) circuit: Circuit,
    pub(super) rules: Rules,
    pub(super) jitter: Entropy,
    queue: mpsc::Sender<Held>,
    /// Places for messages just accepted: most of the queue, since what finds none must be claimed, at the price of another
    /// transaction. The rest is for claims, so that neither a backlog keeps new messages waiting, nor new messages a backlog.
    places_for_accepts: Arc<Semaphore>,
    /// Something may be due now.
    due: Notify,
    room: Arc<Room>,
    store_failing: AtomicBool,
}

/// An entry leased to us, and until when on our own clock.
pub(super) struct Held {
    pub(super) leased: Leased,
    pub(super) lease_ends: Duration,
    pub(super) deadline_ends: Duration,
    /// The place among those for accepts that it takes up while it waits.
    place: Option<OwnedSemaphorePermit>,
    /// Its part of what the lane holds, until it is sent.
    _weight: Weight,
}

/// The room in a lane's memory.
#[derive(Default)]
struct Room {
    held_bytes: AtomicUsize,
    /// A place in the queue, or memory, has become free.
    freed: Notify,
}

/// So many bytes of a lane's memory are taken.
struct Weight {
    room: Arc<Room>,
    bytes: usize,
}

impl Weight {
    fn put(room: &Arc<Room>, bytes: usize) -> Self {
        room.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = Arc::clone(room);
        Self { room, bytes }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        if self.room.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed) >= HELD_BYTES_MAX {
            self.room.freed.notify_one();
        }
    }
}

/// A place in the queue for a message that is being accepted.
pub(crate) struct Reservation {
    queue: mpsc::OwnedPermit<Held>,
    place: OwnedSemaphorePermit,
    weight: Weight,
    began: Duration,
    leased_at: Duration,
    lease: Duration,
    deadline: Duration,
}

/// What a look for due entries came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// As many as we asked for: there are probably more.
    Full,
    /// Fewer, or the provider is not called at the moment.
    Dry,
    /// The queue is too full to ask.
    NoRoom,
}

impl Reservation {
    /// How long the entry is to be leased for.
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
        // Measured from before the accept, so that our lease ends no later than the database's.
        let (lease_ends, deadline_ends) = (
            self.leased_at + self.lease,
            self.began.saturating_add(self.deadline),
        );
        self.queue.send(Held {
            leased,
            lease_ends,
            deadline_ends,
            place: Some(self.place),
            _weight: self.weight,
        });
    }
}

impl Lane {
    /// Starts a lane's tasks: one fills the queue from the store, one empties it.
    pub(super) fn start(
        parts: LaneParts,
        critical_tasks: &CriticalTasks,
    ) -> (Arc<Self>, [JoinHandle<()>; 2]) {
        let (queue, waiting) = mpsc::channel(held_max(&parts.lane, parts.settings.lease));
        let breaker =
            Breaker::new(parts.lane.breaker).expect("the breaker's settings were checked at the start");
        let lane = Arc::new(Self {
            circuit: Circuit::new(
                breaker,
                parts.provider.name().clone(),
                Arc::clone(&parts.clock),
                parts.entropy.child("breaker"),
                Arc::clone(&parts.metrics),
            ),
            rules: Rules {
                attempts_max: parts.settings.attempts_max,
                backoff: parts.settings.backoff,
            },
            jitter: parts.entropy.child("backoff"),
            places_for_accepts: Arc::new(Semaphore::new(accepts_max(queue.max_capacity()))),
            queue,
            due: Notify::new(),
            room: Arc::default(),
            store_failing: AtomicBool::new(false),
            parts,
        });
        let tasks = [
            critical_tasks.spawn("claim", Arc::clone(&lane).claim_due()),
            critical_tasks.spawn("workers", Arc::clone(&lane).run_workers(waiting)),
        ];
        (lane, tasks)
    }

    /// A place for a message about to be accepted, while calls flow and one is free.
    pub(super) fn reserve(&self, deadline: Duration, bytes: usize) -> Option<Reservation> {
        if self.parts.stop.is_cancelled() || self.circuit.capacity() != Capacity::Unlimited {
            return None;
        }
        // As with the places, a part of the memory is for claims.
        if accepts_max(HELD_BYTES_MAX) < self.held_bytes().saturating_add(bytes) {
            return None;
        }
        let place = Arc::clone(&self.places_for_accepts).try_acquire_owned().ok()?;
        let queue = self.queue.clone().try_reserve_owned().ok()?;
        let (began, lease) = (self.parts.clock.monotonic(), self.parts.settings.lease);
        Some(Reservation {
            queue,
            place,
            weight: Weight::put(&self.room, bytes),
            began,
            leased_at: lease_clock(self.parts.clock.as_ref()),
            lease,
            deadline,
        })
    }

    /// Looks for due entries now.
    pub(super) fn wake(&self) {
        self.due.notify_one();
    }

    pub(super) fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub(super) fn settler(&self) -> &Settler {
        &self.parts.settler
    }

    fn held_bytes(&self) -> usize {
        self.room.held_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn report(&self, now: Timestamp, queue: QueueReport) -> ProviderReport {
        let LaneParts {
            provider, metrics, ..
        } = &self.parts;
        ProviderReport {
            name: provider.name().clone(),
            channels: provider.channels().to_vec(),
            breaker: self.circuit.report(now),
            queue,
            counts: CountsReport::of(metrics),
        }
    }

    /// Claims whatever is due and was not handed over: retries, other nodes' leavings, what found no room. A claim under
    /// way is never cut off: what it leases must reach the queue, or be given back.
    async fn claim_due(self: Arc<Self>) {
        let stop = self.parts.stop.clone();
        let mut bytes = BatchSize::new(CLAIM_BYTES_MIN, CLAIM_BYTES_FIRST, CLAIM_BYTES_MAX, CLAIM_TARGET);
        while !stop.is_cancelled() {
            let claim = if self.room_for_claims() >= self.claim_min() && self.held_bytes() < HELD_BYTES_MAX {
                self.claim(&mut bytes).await
            } else {
                Claim::NoRoom
            };
            let pause = async {
                match claim {
                    Claim::Full => {}
                    Claim::NoRoom => {
                        // A reservation that is given up makes room too, and tells nobody.
                        let _ = tokio::time::timeout(self.nap(), self.room.freed.notified()).await;
                    }
                    Claim::Dry => {
                        // Either something is due, or it is time to look.
                        let _ = tokio::time::timeout(self.nap(), self.due.notified()).await;
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = pause => {}
            }
        }
    }

    /// How long to look away when nothing is due: not past the moment at which the breaker moves, and not long while the store
    /// does not answer.
    fn nap(&self) -> Duration {
        let failing = self.store_failing.load(Ordering::Relaxed) || self.parts.settler.is_behind();
        let poll = match failing {
            true => self.parts.settings.poll.min(STORE_RETRY_PAUSE),
            false => self.parts.settings.poll,
        };
        let change = self.circuit.next_change_in().filter(|change| !change.is_zero());
        change.map_or(poll, |change| change.min(poll))
    }

    /// Takes entries off the queue as workers become free, until told to stop; then gives back what nobody began to
    /// send, and waits for the calls under way.
    async fn run_workers(self: Arc<Self>, mut waiting: mpsc::Receiver<Held>) {
        let workers = Arc::new(Semaphore::new(self.parts.lane.concurrency));
        let stop = self.parts.stop.clone();
        loop {
            let next = async {
                let worker = Arc::clone(&workers).acquire_owned().await;
                (worker, waiting.recv().await)
            };
            let (worker, held) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = next => next,
            };
            let (Ok(worker), Some(mut held)) = (worker, held) else {
                break;
            };
            drop(held.place.take());
            self.room.freed.notify_one();
            let lane = Arc::clone(&self);
            self.parts.tasks.spawn(Box::pin(async move {
                lane.process(held).await;
                if mutants::planted(Mutant::WorkerPermitLeak) && lane.circuit.blocked_for().is_some() {
                    worker.forget();
                    return;
                }
                drop(worker);
            }));
        }
        waiting.close();
        while let Some(held) = waiting.recv().await {
            self.parts
                .settler
                .release(held.leased.id, held.leased.token)
                .await;
        }
        let all = u32::try_from(self.parts.lane.concurrency).unwrap_or(u32::MAX);
        let _ = workers.acquire_many(all).await;
    }

    async fn claim(&self, bytes: &mut BatchSize) -> Claim {
        self.circuit.tick();
        if self.parts.settler.is_behind() {
            // What we know of calls is not on record yet: a claim could get those very messages, and send them again.
            return Claim::Dry;
        }
        let LaneParts {
            provider,
            settings,
            store,
            clock,
            metrics,
            ..
        } = &self.parts;
        let queued = self.queue.max_capacity() - self.queue.capacity();
        let permits = match self.circuit.capacity() {
            Capacity::Unlimited => usize::MAX,
            Capacity::Permits(permits) => (permits as usize).saturating_sub(queued),
        };
        let limit = settings
            .batch_messages_max
            .min(self.room_for_claims())
            .min(permits);
        let Some(limit) = u32::try_from(limit).ok().filter(|limit| *limit > 0) else {
            return Claim::Dry;
        };
        let (began, leased_at) = (clock.monotonic(), lease_clock(clock.as_ref()));
        let limits = ClaimLimits {
            entries: limit,
            bytes: bytes.get(),
        };
        let claims = store.claim(provider.name(), limits, settings.lease).await;
        let took = clock.monotonic().saturating_sub(began);
        let claims = match claims {
            Ok(claims) => claims,
            Err(error) => {
                if took > CLAIM_TARGET {
                    bytes.failed(limits.bytes, took);
                }
                if !self.store_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(provider = %provider.name(), %error, "cannot claim: messages wait for the store");
                }
                return Claim::Dry;
            }
        };
        if self.store_failing.swap(false, Ordering::Relaxed) {
            tracing::info!(provider = %provider.name(), "the store is back");
        }
        let contents = claims
            .entries
            .iter()
            .map(|claimed| claimed.leased.content.bytes());
        // What was cut short would have had more bytes than asked for.
        let asked = if claims.cut_short { limits.bytes } else { 0 };
        bytes.succeeded(contents.sum::<usize>().max(asked), took);
        let outcome = if claims.cut_short || claims.entries.len() == limit as usize {
            Claim::Full
        } else {
            Claim::Dry
        };
        for Claimed {
            leased,
            deadline_in,
            lease_expired,
        } in claims.entries
        {
            if lease_expired {
                metrics.count_attempt(leased.content.channel, Outcome::Unknown);
                tracing::warn!(
                    message_id = %leased.id, provider = %provider.name(),
                    "a worker vanished with this message: it may have been sent"
                );
            }
            if lease_expired && self.parts.settler.finish_sent(&leased).await {
                continue;
            }
            let _weight = Weight::put(&self.room, leased.content.bytes());
            let (lease_ends, deadline_ends) = (leased_at + settings.lease, began.saturating_add(deadline_in));
            // The queue outlives the lane's tasks; while they stop, what is put in is given back.
            if let Err(refused) = self
                .queue
                .send(Held {
                    leased,
                    lease_ends,
                    deadline_ends,
                    place: None,
                    _weight,
                })
                .await
            {
                let Held { leased, .. } = refused.0;
                self.parts.settler.release(leased.id, leased.token).await;
            }
        }
        outcome
    }

    /// Places for claims that are free.
    fn room_for_claims(&self) -> usize {
        let size = self.queue.max_capacity();
        let accepted = accepts_max(size).saturating_sub(self.places_for_accepts.available_permits());
        let claimed = (size - self.queue.capacity()).saturating_sub(accepted);
        (size - accepts_max(size)).max(1).saturating_sub(claimed)
    }

    /// Claims of a few entries cost the store as much as full ones: wait for room for some more.
    fn claim_min(&self) -> usize {
        self.parts
            .settings
            .batch_messages_max
            .min(self.queue.max_capacity() / 8)
            .max(1)
    }
}

/// How many of a queue's places are for messages just accepted.
fn accepts_max(queue_size: usize) -> usize {
    (queue_size * 3 / 4).max(1)
}

/// Entries a lane holds in memory: no more than its workers get to while at least half of every lease is left, even if
/// all their calls time out. Else leases would run out in the queue, and tries nobody made would go on record.
fn held_max(lane: &LaneSettings, lease: Duration) -> usize {
    let calls_per_half_lease = (lease / 2).div_duration_f64(lane.call_timeout) as u32;
    lane.concurrency * calls_per_half_lease.clamp(1, HELD_PER_WORKER_MAX) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_the_smallest_queue_has_places_for_messages_just_accepted() {
        let places = (1..=8).map(accepts_max).collect::<Vec<_>>();
        assert_eq!(places, [1, 1, 2, 3, 3, 4, 5, 6]);
    }
}
