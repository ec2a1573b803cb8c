//! Leases of messages whose accept got no answer. Such a message may be stored, or appear a little later, leased to this node
//! but not in its queue. The lease is given back as soon as the message is found.

use std::{sync::Arc, time::Duration};

use domain::{Clock, MessageId, ProviderName};
use store::{FIRST_LEASE, StoreError};
use tokio::sync::mpsc;

use crate::Node;

/// Messages that are looked for at the same time: as many as full batches accept in seconds without an answer. Each takes
/// about 100 bytes. The leases of further ones expire.
const UNCONFIRMED_MAX: usize = 16_384;
/// Messages looked for in one transaction.
const BATCH_MAX: usize = 500;
/// How often they are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long after its accept was given up a message may appear. Its lease begins then.
const LATE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Unconfirmed {
    queue: mpsc::Sender<Candidate>,
    clock: Arc<dyn Clock>,
}

/// A message that may be stored, and leased to this node.
struct Candidate {
    id: MessageId,
    provider: ProviderName,
    /// When the lease has expired at the latest, by the monotonic clock.
    until: Duration,
}

impl Unconfirmed {
    pub(super) fn start(node: &Arc<Node>) -> Self {
        let (queue, waiting) = mpsc::channel(UNCONFIRMED_MAX);
        let clock = Arc::clone(&node.clock);
        let search = Search {
            node: Arc::clone(node),
            candidates: Vec::new(),
        };
        let search = node.ends_with_drain.track_future(search.run(waiting));
        node.critical_tasks.spawn("give back", search);
        Self { queue, clock }
    }

    /// Gives back the lease of a message if it turns out to be stored.
    pub(super) fn give_back(&self, id: MessageId, provider: &ProviderName, lease: Duration) {
        let until = self.clock.monotonic().saturating_add(LATE_MAX + lease);
        // When the queue is full, the lease expires instead.
        let _ = self.queue.try_send(Candidate {
            id,
            provider: provider.clone(),
            until,
        });
    }
}

struct Search {
    node: Arc<Node>,
    candidates: Vec<Candidate>,
}

impl Search {
    /// Runs until the node stops and the store has answered once more.
    async fn run(mut self, mut waiting: mpsc::Receiver<Candidate>) {
        loop {
            if self.candidates.is_empty() {
                tokio::select! {
                    biased;
                    () = self.node.stop.cancelled() => {}
                    candidate = waiting.recv() => self.candidates.extend(candidate),
                }
            }
            let stopping = self.node.stop.is_cancelled();
            while self.candidates.len() < UNCONFIRMED_MAX
                && let Ok(candidate) = waiting.try_recv()
            {
                self.candidates.push(candidate);
            }
            let answered = self.look().await;
            if stopping && answered {
                return;
            }
            if stopping {
                tokio::time::sleep(LOOK_EVERY).await;
            } else {
                let _ = tokio::time::timeout(LOOK_EVERY, self.node.stop.cancelled()).await;
            }
        }
    }

    /// Gives back the leases of the messages that are stored by now. False when the store did not answer.
    async fn look(&mut self) -> bool {
        let now = self.node.clock.monotonic();
        self.candidates.retain(|candidate| candidate.until > now);
        let mut missing = Vec::new();
        let mut answered = true;
        while !self.candidates.is_empty() {
            let rest = self.candidates.split_off(self.candidates.len().min(BATCH_MAX));
            let mut batch = std::mem::replace(&mut self.candidates, rest);
            let leases: Vec<_> = batch
                .iter()
                .map(|candidate| (candidate.id, FIRST_LEASE))
                .collect();
            match self.node.store.release(&leases).await {
                Ok(released) => {
                    for candidate in batch.extract_if(.., |candidate| released.contains(&candidate.id)) {
                        self.node.wake_ups.wake(&candidate.provider);
                    }
                    missing.append(&mut batch);
                }
                Err(StoreError::Refused(error)) => {
                    tracing::error!(
                        error,
                        "the database refuses to release leases: their messages are sent when the leases expire"
                    );
                }
                Err(_) => {
                    answered = false;
                    missing.append(&mut batch);
                    break;
                }
            }
        }
        missing.append(&mut self.candidates);
        self.candidates = missing;
        answered
    }
}
