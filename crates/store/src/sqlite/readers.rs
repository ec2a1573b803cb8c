use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::Clock;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::{connect, of_sqlite};
use crate::{Outage, StoreError};

const READERS_MAX: u32 = 4;
/// How long a read waits for a connection. Together with [`READ_TIME_MAX`] it is below the 2 s in which a client is
/// answered.
const READ_WAIT_MAX: Duration = Duration::from_millis(700);
/// How long a read may take before it is interrupted.
const READ_TIME_MAX: Duration = Duration::from_millis(1_200);
/// Steps of SQLite's virtual machine between two checks of the time: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Connections for reading, opened on first use. A read ends within its time limit and keeps its connection until then,
/// even if its caller has left.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(READERS_MAX as usize)),
        }
    }

    /// Runs `work` in a read transaction on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unavailable = |outage, reason: &str| StoreError::unavailable(outage, reason);
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(READ_WAIT_MAX, permit)
            .await
            .map_err(|_| unavailable(Outage::Busy, "all connections for reading are busy"))?
            .map_err(|_| unavailable(Outage::Away, "the store is closed"))?;
        // Dropped with this future, which interrupts the read.
        let caller = Arc::new(());
        let watched = Arc::downgrade(&caller);
        let (readers, until) = (Arc::clone(self), self.clock.monotonic() + READ_TIME_MAX);
        let read = tokio::task::spawn_blocking(move || {
            let clock = Arc::clone(&readers.clock);
            let must_end = move || watched.strong_count() == 0 || clock.monotonic() >= until;
            let result = readers.read(must_end, work);
            // The permit is held until here, also if the caller has left.
            drop(permit);
            result
        });
        let result = read
            .await
            .map_err(|error| unavailable(Outage::Away, &error.to_string()))?;
        result.map_err(|error| of_sqlite(&error))
    }

    fn read<T>(
        &self,
        must_end: impl FnMut() -> bool + Send + 'static,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let taken = self.idle().pop();
        let mut connection = match taken {
            Some(connection) => connection,
            None => connect(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(must_end))?;
        // All statements of `work` read the same snapshot.
        let transaction = connection.unchecked_transaction()?;
        let result = work(&transaction);
        // A connection that cannot end its transaction is not used again.
        if transaction.finish().is_ok() {
            connection.progress_handler(0, None::<fn() -> bool>)?;
            self.idle().push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock()
    }

    /// Waits until all reads have ended. New reads wait until the result is dropped.
    pub(super) fn pause(
        &self,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + 'static {
        Arc::clone(&self.permits).acquire_many_owned(READERS_MAX)
    }

    /// Refuses new reads, and closes all connections after the reads under way.
    pub(super) async fn close(&self) {
        let _paused = self.pause().await;
        self.permits.close();
        self.idle().clear();
    }
}
