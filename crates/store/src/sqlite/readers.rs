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

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;
/// How long a read waits for a connection. With [`READ_TIME_MAX`] it is less than the 2 s in which a client is answered.
const READ_WAIT_MAX: Duration = Duration::from_millis(700);
/// How long a read may take, as on PostgreSQL. It is ended by then, and its connection is free for others.
const READ_TIME_MAX: Duration = Duration::from_millis(1_200);
/// Steps of SQLite's virtual machine between two looks at the time: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Connections for reading, opened when first needed. Each read ends within its time limit, also when its caller has left, and
/// keeps its connection until then.
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

    /// Runs `work` in a read transaction on a connection for reading, off the async threads.
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
        // Dropped with this future, which ends the read.
        let caller = Arc::new(());
        let watched = Arc::downgrade(&caller);
        let (readers, until) = (Arc::clone(self), self.clock.monotonic() + READ_TIME_MAX);
        let read = tokio::task::spawn_blocking(move || {
            let clock = Arc::clone(&readers.clock);
            let must_end = move || watched.strong_count() == 0 || clock.monotonic() >= until;
            let result = readers.read(must_end, work);
            // Only now: a caller that leaves does not free the connection.
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
        // All statements of the work see the same moment.
        let transaction = connection.unchecked_transaction()?;
        let result = work(&transaction);
        // One that cannot end its transaction is not used again.
        if transaction.finish().is_ok() {
            connection.progress_handler(0, None::<fn() -> bool>)?;
            self.idle().push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock()
    }

    /// Waits until all reads under way have ended. New ones wait as long as the answer is kept.
    pub(super) fn pause(
        &self,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + 'static {
        Arc::clone(&self.permits).acquire_many_owned(READERS_MAX)
    }

    /// Refuses new reads, and closes all connections once the reads under way have ended.
    pub(super) async fn close(&self) {
        let _paused = self.pause().await;
        self.permits.close();
        self.idle().clear();
    }
}
