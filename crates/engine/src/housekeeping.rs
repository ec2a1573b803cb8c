//! Recurring work of a node: it announces its providers, moves messages past their deadline to the dead letters, applies receipts
//! that were left, and deletes what is old, in small transactions.

use std::{sync::Arc, time::Duration};

use domain::{Outcome, PageRequest, ProviderName, Start};
use store::{DeadLetter, Store, StoreError, UnservedRule};

use crate::{EngineSettings, EventLog, Metrics, Node, dispatch::Dispatcher};

/// Between two rounds, each with an announcement and a sweep.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// A provider's messages become dead letters when no node has served it for this long. A rolling restart, or the repair of a node,
/// takes less.
pub const UNSERVED_AFTER: Duration = Duration::from_secs(300);
/// A longer time without any announcement does not count towards [`UNSERVED_AFTER`]: then the database or all nodes were away, and
/// no node could announce its providers.
const ANNOUNCEMENT_GAP_MAX: Duration = Duration::from_secs(30);
/// Sweeps between two purges.
const SWEEPS_PER_PURGE: u32 = 12;
/// How long after its arrival a receipt may match: longer than any lease, and any race.
const RECEIPTS_MATCHED_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// Rows per transaction.
const BATCH_ROWS_MAX: u32 = 500;

pub(crate) fn start(settings: &EngineSettings, dispatcher: Arc<Dispatcher>, node: &Node) {
    let housekeeper = Housekeeper {
        store: Arc::clone(&node.store),
        metrics: Arc::clone(&node.metrics),
        events: Arc::clone(&node.events),
        dispatcher,
        idempotency_ttl: settings.idempotency_ttl,
        events_retention: settings.events_retention,
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

/// What is deleted when it is old.
#[derive(Clone, Copy)]
enum Old {
    IdempotencyKeys,
    Events,
    Receipts,
    /// Failed ones, once their events are deleted.
    Deliveries,
}

impl Old {
    const ALL: [(Self, &'static str); 4] = [
        (Self::IdempotencyKeys, "deleting old idempotency keys"),
        (Self::Events, "deleting old events"),
        (Self::Receipts, "deleting old receipts"),
        (Self::Deliveries, "deleting old deliveries"),
    ];
}

struct Housekeeper {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    events: Arc<EventLog>,
    dispatcher: Arc<Dispatcher>,
    idempotency_ttl: Duration,
    events_retention: Duration,
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
        report("applying receipts", self.match_receipts().await);
        if round == 0 {
            let unmatched = self.count_unmatched().await;
            report("counting receipts that match nothing", unmatched);
            for (old, task) in Old::ALL {
                report(task, self.purge(old).await);
            }
        }
        report("giving new events their places", self.tend_events().await);
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
            if !dead_letters.is_empty() {
                self.events.changed();
            }
            if dead_letters.len() < BATCH_ROWS_MAX as usize {
                return Ok(());
            }
        }
    }

    /// Receipts are applied when they come, or with the settlement that they wait for. This finds what a crash or a race left.
    async fn match_receipts(&self) -> Result<(), StoreError> {
        loop {
            let matched = self
                .store
                .match_receipts(RECEIPTS_MATCHED_WITHIN, BATCH_ROWS_MAX)
                .await?;
            if !matched.is_empty() {
                self.metrics.count_receipts_matched_later(matched.len() as u64);
                matched
                    .iter()
                    .for_each(|applied| self.metrics.count_expired_lease(applied));
                self.events.changed();
            }
            if matched.len() < BATCH_ROWS_MAX as usize {
                return Ok(());
            }
        }
    }

    /// Events get their places when they are read: without readers, they would pile up.
    async fn tend_events(&self) -> Result<(), StoreError> {
        let log = self.store.event_log().await?;
        self.events.forget(log.start);
        Ok(())
    }

    async fn count_unmatched(&self) -> Result<(), StoreError> {
        let first = PageRequest::new(1, Start::First);
        let unmatched = self.store.receipts(Some(false), &first).await?;
        self.metrics.set_receipts_unmatched(unmatched.total.count);
        Ok(())
    }

    async fn purge(&self, old: Old) -> Result<(), StoreError> {
        loop {
            let (store, limit) = (&self.store, BATCH_ROWS_MAX);
            let deleted = match old {
                Old::IdempotencyKeys => store.purge_idempotency_keys(self.idempotency_ttl, limit).await,
                Old::Events => store.purge_events(self.events_retention, limit).await,
                Old::Receipts => store.purge_receipts(self.events_retention, limit).await,
                Old::Deliveries => store.purge_deliveries(limit).await,
            };
            if deleted? < u64::from(BATCH_ROWS_MAX) {
                return Ok(());
            }
        }
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
