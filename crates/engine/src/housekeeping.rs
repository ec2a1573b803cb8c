//! Keeping house: what is past its time goes, in small pieces, whatever else happens.

use std::{sync::Arc, time::Duration};

use domain::{Outcome, ProviderName};
use mutants::Mutant;
use store::{DeadLetter, Store, StoreError, UnservedRule};

use crate::{Metrics, Node, dispatch::Dispatcher};

/// How often a node announces what it serves, and sweeps the outbox for entries that can no longer be sent.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long no node must have served a provider until its messages are given up: longer than a rolling restart of a few nodes, and
/// than it takes to start a node again that had to be mended.
pub const UNSERVED_AFTER: Duration = Duration::from_secs(300);
/// The longest time without any node's announcement that still counts towards [`UNSERVED_AFTER`]: some announcements may fail, but
/// while the database or all nodes are away, no node can announce what it serves.
const ANNOUNCEMENT_GAP_MAX: Duration = Duration::from_secs(30);
/// Sweeps between two purges of idempotency keys.
const SWEEPS_PER_PURGE: u32 = 12;
/// Rows one transaction touches.
const BATCH_ROWS_MAX: u32 = 500;

pub(crate) fn start(idempotency_ttl: Duration, dispatcher: Arc<Dispatcher>, node: &Node) {
    let housekeeper = Housekeeper {
        store: Arc::clone(&node.store),
        metrics: Arc::clone(&node.metrics),
        dispatcher,
        idempotency_ttl,
    };
    let stop = node.stop.clone();
    let rounds = async move {
        let mut round = 0;
        loop {
            if let Err(error) = housekeeper.round(round).await {
                tracing::warn!(%error, "housekeeping was put off");
            }
            round = (round + 1) % SWEEPS_PER_PURGE;
            if tokio::time::timeout(SWEEP_INTERVAL, stop.cancelled())
                .await
                .is_ok()
            {
                return;
            }
        }
    };
    let rounds = node.ends_with_drain.track_future(rounds);
    node.critical_tasks.spawn("housekeeping", rounds);
}

struct Housekeeper {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    dispatcher: Arc<Dispatcher>,
    idempotency_ttl: Duration,
}

impl Housekeeper {
    async fn round(&self, round: u32) -> Result<(), StoreError> {
        let serving = self.dispatcher.serving();
        // None must keep the others from being done.
        let (announced, swept, purged) = (
            self.store.announce(&serving, ANNOUNCEMENT_GAP_MAX).await,
            self.sweep(&serving).await,
            if round == 0 { self.purge().await } else { Ok(()) },
        );
        announced.and(swept).and(purged)
    }

    async fn sweep(&self, serving: &[ProviderName]) -> Result<(), StoreError> {
        loop {
            let buried = self.store.sweep(serving, unserved(), BATCH_ROWS_MAX).await?;
            for DeadLetter {
                id,
                provider,
                channel,
                reason,
                lease_expired,
            } in &buried
            {
                if *lease_expired {
                    self.metrics.count_attempt(provider, *channel, Outcome::Unknown);
                }
                self.metrics.count_dead_letter(provider, *reason);
                tracing::warn!(message_id = %id, %provider, %reason, lease_expired, "a message became a dead letter");
            }
            if buried.len() < BATCH_ROWS_MAX as usize {
                return Ok(());
            }
        }
    }

    async fn purge(&self) -> Result<(), StoreError> {
        while self
            .store
            .purge_idempotency_keys(kept(self.idempotency_ttl), BATCH_ROWS_MAX)
            .await?
            == u64::from(BATCH_ROWS_MAX)
        {}
        Ok(())
    }
}

/// When a provider counts as served by no node.
fn unserved() -> UnservedRule {
    UnservedRule {
        after: if mutants::planted(Mutant::ServedDeadLettered) {
            Duration::ZERO
        } else {
            UNSERVED_AFTER
        },
        gap_max: ANNOUNCEMENT_GAP_MAX,
    }
}

/// How long keys are kept.
fn kept(idempotency_ttl: Duration) -> Duration {
    if mutants::planted(Mutant::KeyPurgedEarly) {
        idempotency_ttl / 2
    } else if mutants::planted(Mutant::KeyKeptForever) {
        Duration::MAX
    } else {
        idempotency_ttl
    }
}
