//! Recurring work of a node: it announces its providers, moves messages past their deadline to the dead letters, and deletes old
//! idempotency keys, in small transactions.

use std::{sync::Arc, time::Duration};

use domain::{Outcome, ProviderName};
use store::{DeadLetter, Store, StoreError, UnservedRule};

use crate::{Metrics, Node, dispatch::Dispatcher};

/// Between two rounds, each with an announcement and a sweep.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// A provider's messages become dead letters when no node has served it for this long. A rolling restart, or the repair of a node,
/// takes less.
pub const UNSERVED_AFTER: Duration = Duration::from_secs(300);
/// A longer time without any announcement does not count towards [`UNSERVED_AFTER`]: then the database or all nodes were away, and
/// no node could announce its providers.
const ANNOUNCEMENT_GAP_MAX: Duration = Duration::from_secs(30);
/// Sweeps between two purges of idempotency keys.
const SWEEPS_PER_PURGE: u32 = 12;
/// Rows per transaction.
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
            housekeeper.round(round).await;
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
    /// A failure of one task does not keep the others from running.
    async fn round(&self, round: u32) {
        let serving = self.dispatcher.serving();
        let announced = self.store.announce(&serving, ANNOUNCEMENT_GAP_MAX).await;
        report("announcing the providers of this node", announced);
        report(
            "moving expired messages to the dead letters",
            self.sweep(&serving).await,
        );
        if round == 0 {
            report("deleting old idempotency keys", self.purge().await);
        }
    }

    async fn sweep(&self, serving: &[ProviderName]) -> Result<(), StoreError> {
        loop {
            let dead_letters = self.store.sweep(serving, unserved(), BATCH_ROWS_MAX).await?;
            for DeadLetter {
                id,
                provider,
                channel,
                reason,
                lease_expired,
            } in &dead_letters
            {
                if *lease_expired {
                    self.metrics.count_attempt(provider, *channel, Outcome::Unknown);
                }
                self.metrics.count_dead_letter(provider, *reason);
                tracing::warn!(message_id = %id, %provider, %reason, lease_expired, "a message became a dead letter: it is kept until it is redriven");
            }
            if dead_letters.len() < BATCH_ROWS_MAX as usize {
                return Ok(());
            }
        }
    }

    async fn purge(&self) -> Result<(), StoreError> {
        while self
            .store
            .purge_idempotency_keys(self.idempotency_ttl, BATCH_ROWS_MAX)
            .await?
            == u64::from(BATCH_ROWS_MAX)
        {}
        Ok(())
    }
}

fn report(task: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(task, %error, "a housekeeping task failed: it runs again within a minute");
    }
}

/// When a provider counts as served by no node.
fn unserved() -> UnservedRule {
    UnservedRule {
        after: UNSERVED_AFTER,
        gap_max: ANNOUNCEMENT_GAP_MAX,
    }
}
