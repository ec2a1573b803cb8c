//! Whether a send would be stored, for `/readyz`.
//!
//! A write without a row shows whether commits succeed: it waits for a synchronous standby like them, and fails if the
//! database is read-only. It does not show a full disk, or refused connections while old ones work. So after a failed
//! accept, a probe opens a new connection, stores a large message and rolls back.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::Mutex, time::timeout};

use super::{
    connections::{Connections, STATEMENT_TIMEOUT},
    failure::QueryFailure,
};
use crate::{Accepted, Outage, StoreError};

/// How long a probe may take, including waiting for one that runs already: `/readyz` answers within 2 s.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_800);

#[derive(Debug)]
pub(super) struct Probe {
    connections: Connections,
    /// Whether the last accept failed for a reason other than its content.
    doubtful: AtomicBool,
    ended: AtomicU64,
    /// The latest result; locked while a probe runs.
    last: Mutex<Result<(), StoreError>>,
}

impl Probe {
    /// `connections` has room for two: the usual one and a new one.
    pub(super) fn new(connections: Connections) -> Self {
        Self {
            connections,
            doubtful: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            last: Mutex::new(Ok(())),
        }
    }

    pub(super) fn note(&self, accepted: &Result<Vec<Accepted>, StoreError>) {
        match accepted {
            Ok(_) => self.doubtful.store(false, Ordering::Relaxed),
            Err(StoreError::Refused(_)) => {}
            Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) => {
                self.doubtful.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Probes, or waits for a running probe and shares its result.
    pub(super) async fn run(&self) -> Result<(), StoreError> {
        let ended = self.ended.load(Ordering::SeqCst);
        let run = async {
            let mut last = self.last.lock().await;
            if self.ended.load(Ordering::SeqCst) == ended {
                *last = self.write().await;
                self.ended.fetch_add(1, Ordering::SeqCst);
            }
            last.clone()
        };
        let late = |_| {
            let reason = format!("a test write was not committed within {PROBE_TIMEOUT:?}");
            StoreError::unavailable(Outage::Slow, reason)
        };
        timeout(PROBE_TIMEOUT, run).await.map_err(late)?
    }

    async fn write(&self) -> Result<(), StoreError> {
        if self.doubtful.load(Ordering::Relaxed) {
            self.store_and_roll_back().await?;
            self.doubtful.store(false, Ordering::Relaxed);
        }
        let sql = include_str!("../../sql/messages/probe.postgres.sql");
        let written = self.connections.query(sql, &[]).await;
        written.map(drop).map_err(StoreError::of_nothing_changed)
    }

    async fn store_and_roll_back(&self) -> Result<(), StoreError> {
        let mut lent = self.connections.lend_new().await?;
        let store = async {
            let transaction = lent.session().client().transaction().await?;
            let sql = include_str!("../../sql/messages/probe_space.postgres.sql");
            transaction.batch_execute(sql).await?;
            Ok(transaction.rollback().await?)
        };
        let stored = timeout(STATEMENT_TIMEOUT, store).await;
        let Err(failure) = stored.unwrap_or(Err(QueryFailure::TimedOut)) else {
            lent.close();
            return Ok(());
        };
        lent.failed(&failure);
        Err(match StoreError::from(failure) {
            StoreError::OutcomeUnknown(reason) | StoreError::Refused(reason) => {
                StoreError::unavailable(Outage::Away, reason)
            }
            unavailable => unavailable,
        })
    }
}
