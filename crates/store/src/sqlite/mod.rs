//! The store in SQLite: one file or private memory, for one process.
//!
//! One thread writes. It takes the waiting work, runs each piece in its own savepoint and commits all together: one `fsync`
//! (WAL, `synchronous=FULL`). Reads of a file have their own connections and do not wait for it.

mod accept;
mod archive;
mod claim;
mod clock;
mod conversations;
#[cfg(test)]
mod durability;
mod endpoint_rows;
mod events;
mod follow_ups;
mod ids;
mod listing;
mod outbox;
mod readers;
mod reads;
mod receipts;
mod rows;
mod settle;
mod webhooks;
mod writer;

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Clock, Timestamp};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Mutex;

use self::{
    clock::DatabaseClock,
    readers::Readers,
    writer::{Log, Writer},
};
use crate::{
    Outage, Store, StoreError,
    migrations::{pending, too_new},
};

/// Statements that a connection keeps prepared: more than exist.
const PREPARED_STATEMENTS_MAX: usize = 160;
/// How long a connection waits while another program locks the file. Waiting work may wait for two transactions, the one
/// under way and its own, and is still answered within 2 s.
const BUSY_TIMEOUT: Duration = Duration::from_millis(800);
/// How long a probe may take.
const PROBE_TIME_MAX: Duration = Duration::from_millis(1_800);
/// Bytes that a probe writes: at least as many pages as a usual message with its rows.
const PROBE_BYTES: u32 = 64 << 10;

#[derive(Debug)]
pub struct Sqlite {
    writer: Arc<Writer>,
    /// `None` in memory, where the writing connection also reads.
    readers: Option<Arc<Readers>>,
    database_clock: Arc<DatabaseClock>,
    clock: Arc<dyn Clock>,
    last_probe: Mutex<Option<LastProbe>>,
}

/// `ended` is on the monotonic clock.
#[derive(Debug)]
struct LastProbe {
    result: Result<(), StoreError>,
    ended: Duration,
}

impl Sqlite {
    /// Opens or creates the file and locks it for this process. The database's clock is the wall clock of now plus the
    /// monotonic clock.
    ///
    /// # Errors
    /// When the file cannot be opened, or another process has locked it.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let lock = lock(path)?;
        let connection = connect(path, OpenFlags::default()).map_err(|error| error.to_string())?;
        make_durable(&connection).map_err(|error| error.to_string())?;
        outbox::expire_leases(&connection).map_err(|error| error.to_string())?;
        let readers = Arc::new(Readers::new(path, Arc::clone(&clock)));
        let log = Log::new(path, Arc::clone(&readers), lock);
        Self::start(connection, Some(log), Some(readers), clock)
    }

    /// A private store in memory, which ends with this value. It has one connection, which reads and writes: SQLite has no
    /// write-ahead log in memory, so with several connections readers and the writer would lock each other out.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, String> {
        let connection =
            connect(Path::new(":memory:"), OpenFlags::default()).map_err(|error| error.to_string())?;
        Self::start(connection, None, None, clock)
    }

    fn start(
        connection: Connection,
        log: Option<Log>,
        readers: Option<Arc<Readers>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let database_clock =
            DatabaseClock::start(&connection, Arc::clone(&clock)).map_err(|error| error.to_string())?;
        let writer = Writer::start(connection, log).map_err(|error| error.to_string())?;
        Ok(Self {
            writer: Arc::new(writer),
            readers,
            database_clock: Arc::new(database_clock),
            clock,
            last_probe: Mutex::default(),
        })
    }

    /// Runs `work` on the writing thread, in one transaction with the other waiting work.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = Arc::clone(&self.database_clock);
        self.writer
            .run(move |connection| {
                let now = clock.now();
                clock.save(connection, now)?;
                work(connection, now)
            })
            .await
    }

    /// Runs `work`, which only reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let now = self.database_clock.now();
        let work = move |connection: &Connection| work(connection, now);
        match &self.readers {
            Some(readers) => readers.run(work).await,
            None => self.writer.run(work).await,
        }
    }

    /// Writes and commits like an accept, or shares the result of a probe that ended while this one waited.
    async fn probe_in_turn(&self) -> Result<(), StoreError> {
        let asked = self.clock.monotonic();
        let mut last = self.last_probe.lock().await;
        if let Some(probe) = &*last
            && probe.ended > asked
        {
            return probe.result.clone();
        }
        let result = self
            .write(|connection, _| {
                let mut write =
                    connection.prepare_cached(include_str!("../../sql/probe/write.sqlite.sql"))?;
                write.execute([PROBE_BYTES]).map(drop)
            })
            .await;
        *last = Some(LastProbe {
            result: result.clone(),
            ended: self.clock.monotonic(),
        });
        result
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.writer
            .run(migrate)
            .await?
            .map_err(|version| StoreError::Refused(too_new(version)))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        tokio::time::timeout(PROBE_TIME_MAX, self.probe_in_turn())
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::unavailable(
                    Outage::Slow,
                    format!("the file took no write within {PROBE_TIME_MAX:?}: another program holds it locked, or the disk is slow or full"),
                ))
            })
    }

    async fn close(&self) {
        let writer = Arc::clone(&self.writer);
        // The panic was reported when it happened.
        let _ = tokio::task::spawn_blocking(move || writer.close()).await;
    }
}

/// Locks the file for this process. SQLite's exclusive mode would also lock out this store's readers.
fn lock(path: &Path) -> Result<File, String> {
    // The canonical path, so that a symbolic link leads to the same lock.
    let lock_path = path
        .canonicalize()
        .unwrap_or_else(|_| path.to_owned())
        .with_added_extension("lock");
    let lock = File::create(&lock_path)
        .map_err(|error| format!("cannot create {}: {error}", lock_path.display()))?;
    lock.try_lock().map_err(|_| {
        "another process has this file open: a SQLite file belongs to one process, use PostgreSQL for several".to_owned()
    })?;
    Ok(lock)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS_MAX);
    if flags == OpenFlags::default() {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        // With NORMAL, a power cut could lose acknowledged messages.
        connection.pragma_update(None, "synchronous", "full")?;
    }
    Ok(connection)
}

/// Flushes what a process left that ended between a commit and its `fsync`: it can be read, so later answers depend on it.
fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
}

/// The names of the applied migrations, or the version of a schema that this program does not know.
fn migrate(connection: &Connection) -> rusqlite::Result<Result<Vec<String>, i64>> {
    let version = connection.query_row("select user_version from pragma_user_version", [], |row| {
        row.get(0)
    })?;
    let migrations = match pending(version) {
        Ok(migrations) => migrations,
        Err(version) => return Ok(Err(version)),
    };
    let mut applied = Vec::new();
    for migration in migrations {
        connection.execute_batch(migration.sqlite)?;
        connection.pragma_update(None, "user_version", migration.number)?;
        applied.push(migration.name.to_owned());
    }
    Ok(Ok(applied))
}

/// Whether trying again can help. Nothing was changed: the transaction was rolled back.
fn of_sqlite(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as Code;
    let reason = error.to_string();
    let outage = match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => Outage::Locked,
        Some(Code::DiskFull) => Outage::Full,
        Some(Code::ReadOnly) => Outage::ReadOnly,
        Some(Code::OperationInterrupted) => Outage::Slow,
        Some(Code::SystemIoFailure | Code::CannotOpen | Code::OutOfMemory) => Outage::Away,
        _ => return StoreError::Refused(reason),
    };
    StoreError::unavailable(outage, reason)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
