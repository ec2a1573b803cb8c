use std::{
    any::Any,
    fmt,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use tokio::{
    runtime::Builder,
    sync::{AcquireError, OwnedSemaphorePermit, mpsc, oneshot},
};

use super::{BUSY_TIMEOUT, of_sqlite, readers::Readers};
use crate::{Outage, StoreError};

/// Pieces of work in the queue of the writing thread. Beyond them, callers wait.
const WAITING_MAX: usize = 256;
/// Pieces of work that share a commit.
const COMMIT_MAX: usize = 64;
/// How large the write-ahead log may grow before reads pause and it is emptied: twice the size at which SQLite copies it
/// back. SQLite cannot restart the log while a read is always under way.
const WAL_BYTES_MAX: u64 = 8 << 20;

pub(super) struct Writer {
    work: Mutex<Option<mpsc::Sender<Work>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Runs inside a transaction, if one has begun, and returns what to do after the commit or rollback.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Writer {
    /// Starts the thread. It owns the connection and the log, if there is one, until the writer is closed.
    pub(super) fn start(connection: Connection, log: Option<Log>) -> std::io::Result<Self> {
        let (work, waiting) = mpsc::channel(WAITING_MAX);
        let runtime = Builder::new_current_thread().build()?;
        let writing = Writing { connection, log };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || runtime.block_on(writing.run(waiting)))?;
        Ok(Self {
            work: Mutex::new(Some(work)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `work` and waits until it is durable. It runs to its end even if the caller leaves.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::unavailable(Outage::Away, "the store is closed");
        let (reply, answer) = oneshot::channel();
        let piece: Work = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                let _ = reply.send(result.and_then(|value| committed.map(|()| value)));
            })
        });
        let sender = lock(&self.work).clone().ok_or_else(closed)?;
        sender.send(piece).await.map_err(|_| closed())?;
        // Queued work is answered unless the writing thread panics, perhaps after the commit.
        answer.await.map_err(|_| {
            StoreError::OutcomeUnknown("the writing thread panicked: the write may be stored".to_owned())
        })?
    }

    /// Finishes the waiting work and closes the file, with an empty log.
    pub(super) fn close(&self) {
        drop(lock(&self.work).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // The panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// The state of the writing thread.
struct Writing {
    connection: Connection,
    log: Option<Log>,
}

/// The write-ahead log of a file.
pub(super) struct Log {
    path: PathBuf,
    /// [`WAL_BYTES_MAX`], and more while another program keeps the log from being emptied.
    bytes_max: u64,
    readers: Arc<Readers>,
    /// Held until the file is closed.
    _lock: File,
}

impl Log {
    /// `path` names the database file.
    pub(super) fn new(path: &Path, readers: Arc<Readers>, lock: File) -> Self {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        Self {
            path: PathBuf::from(wal),
            bytes_max: WAL_BYTES_MAX,
            readers,
            _lock: lock,
        }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }
}

/// Completes when no read is under way.
type Pause = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl Writing {
    async fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        let mut pause: Option<Pause> = None;
        loop {
            tokio::select! {
                biased;
                paused = until_paused(&mut pause) => {
                    pause = None;
                    survive(|| self.empty_wal());
                    drop(paused);
                }
                first = waiting.recv() => {
                    let Some(first) = first else { break };
                    let mut work = vec![first];
                    while work.len() < COMMIT_MAX
                        && let Ok(more) = waiting.try_recv()
                    {
                        work.push(more);
                    }
                    survive(|| self.commit(work));
                    if let Some(log) = self.log.as_ref().filter(|log| log.bytes() > log.bytes_max) {
                        pause.get_or_insert_with(|| Box::pin(log.readers.pause()));
                    }
                }
            }
        }
        drop(pause);
        // The connection that is closed last removes the log, if it may write.
        if let Some(log) = &self.log {
            log.readers.close().await;
        }
        survive(|| self.empty_wal());
    }

    fn commit(&self, work: Vec<Work>) {
        let connection = &self.connection;
        // A panic may have left a transaction open.
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("rollback");
        }
        let begun = connection
            .execute_batch("begin immediate")
            .map_err(|error| of_sqlite(&error));
        // Some errors, such as a full disk, make SQLite roll back the whole transaction. Later pieces must not run outside
        // of one.
        let alive = || match &begun {
            Ok(()) if connection.is_autocommit() => Err(StoreError::unavailable(
                Outage::Busy,
                "the transaction was rolled back because another write in it failed",
            )),
            begun => begun.clone(),
        };
        let answers: Vec<Answer> = work
            .into_iter()
            .map(|piece| piece(alive().map(|()| connection)))
            .collect();
        let committed = alive().and_then(|()| {
            connection.execute_batch("commit").map_err(|error| {
                let _ = connection.execute_batch("rollback");
                // After an I/O error in a commit, it is unknown what the disk has kept.
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
                    return StoreError::OutcomeUnknown(error.to_string());
                }
                of_sqlite(&error)
            })
        });
        answers.into_iter().for_each(|answer| answer(committed.clone()));
    }

    /// Copies the write-ahead log into the file and truncates it. No read of this process is under way. It does not wait
    /// for other programs.
    fn empty_wal(&mut self) {
        let Some(log) = &mut self.log else { return };
        let busy_timeout = |timeout| self.connection.busy_timeout(timeout);
        let emptied = busy_timeout(Duration::ZERO).and_then(|()| {
            self.connection
                .query_row("pragma wal_checkpoint(truncate)", [], |row| {
                    row.get::<_, bool>("busy")
                })
        });
        let restored = busy_timeout(BUSY_TIMEOUT);
        log.bytes_max = match (emptied, restored) {
            (Ok(false), Ok(())) => WAL_BYTES_MAX,
            (emptied, _) => {
                tracing::warn!(
                    ?emptied,
                    bytes = log.bytes(),
                    "the write-ahead log cannot be truncated and grows: another program reads the file, or the disk is full"
                );
                log.bytes() + WAL_BYTES_MAX
            }
        };
    }
}

async fn until_paused(pause: &mut Option<Pause>) -> Result<OwnedSemaphorePermit, AcquireError> {
    match pause {
        Some(pause) => pause.await,
        None => std::future::pending().await,
    }
}

/// Continues after a panic, which has been reported: a node that cannot write is useless. Callers whose answers are lost
/// get `OutcomeUnknown`.
fn survive(work: impl FnOnce()) {
    let _ = caught(work);
}

fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    // A panic leaves nothing behind but changes that are rolled back.
    catch_unwind(AssertUnwindSafe(work))
}

/// Runs `work` whole or not at all, independently of the other work in the transaction. Work that panics is refused,
/// because it would panic again.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let run = || {
        connection.prepare_cached("savepoint piece")?.execute([])?;
        let result = caught(|| work(connection));
        if matches!(result, Ok(Ok(_))) {
            connection.prepare_cached("release piece")?.execute([])?;
        } else if !connection.is_autocommit() {
            connection.execute_batch("rollback to piece; release piece")?;
        }
        Ok(result)
    };
    match run() {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Err(_panic)) => Err(StoreError::Refused(
            "the write panicked: this is a bug, report it".to_owned(),
        )),
        Ok(Ok(Err(error))) | Err(error) => Err(of_sqlite(&error)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop calls the answers, so a panic of an answer is outside of any piece of work.
    #[tokio::test]
    async fn a_panic_of_the_loop_does_not_end_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("trunkline.db");
        let clock = Arc::new(domain::SystemClock::new());
        let readers = Arc::new(Readers::new(&path, clock));
        let connection = Connection::open(&path).unwrap();
        let lock_file = File::create(directory.path().join("lock")).unwrap();
        let writer = Writer::start(connection, Some(Log::new(&path, readers, lock_file))).unwrap();
        writer
            .run(|connection| connection.execute_batch("create table t (n)"))
            .await
            .unwrap();
        for _ in 0..3 {
            let panics: Work = Box::new(|_| Box::new(|_| panic!("a planted panic")));
            let sender = lock(&writer.work).clone().unwrap();
            sender.send(panics).await.unwrap();
            // Work in the same commit may get no answer; later work is stored.
            let neighbour = writer.run(|_| Ok(())).await;
            assert!(
                matches!(neighbour, Ok(()) | Err(StoreError::OutcomeUnknown(_))),
                "{neighbour:?}"
            );
            let later = writer.run(|connection| connection.execute("insert into t values (1)", []));
            assert_eq!(later.await, Ok(1));
        }
    }
}
