use std::{fmt, fs::File, thread::JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::of_sqlite;
use crate::StoreError;

/// Pieces of work that wait for the writing thread; beyond them, callers wait in turn.
const WAITING_MAX: usize = 256;
/// Pieces of work that share a commit.
const COMMIT_MAX: usize = 64;

/// The thread that writes.
pub(super) struct Writer {
    /// Dropped first, which ends the thread.
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// Does its part inside a transaction, if one could be begun, and returns what to do once the transaction's fate is known.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Writer {
    /// Starts the thread, which owns the connection and the lock on the file until the writer is dropped.
    pub(super) fn start(connection: Connection, lock: File) -> std::io::Result<Self> {
        let (work, waiting) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                write(connection, waiting);
                drop(lock);
            })?;
        Ok(Self {
            work: Some(work),
            thread: Some(thread),
        })
    }

    /// Runs `work` and waits until it is durable. It runs to its end even if the caller does not wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        let piece: Work = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                let _ = reply.send(result.and_then(|value| committed.map(|()| value)));
            })
        });
        let sender = self.work.as_ref().ok_or_else(closed)?;
        sender.send(piece).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

fn write(connection: Connection, mut waiting: mpsc::Receiver<Work>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut work = vec![first];
        while work.len() < COMMIT_MAX
            && let Ok(more) = waiting.try_recv()
        {
            work.push(more);
        }
        let begun = connection
            .execute_batch("begin immediate")
            .map_err(|error| of_sqlite(&error));
        // Some errors, such as a full disk, make SQLite roll back the whole transaction: what came before is gone, and
        // what comes after must not run outside of one.
        let alive = || match &begun {
            Ok(()) if connection.is_autocommit() => Err(StoreError::Unavailable(
                "the transaction was rolled back because of a neighbour".to_owned(),
            )),
            begun => begun.clone(),
        };
        let answers: Vec<Answer> = work
            .into_iter()
            .map(|piece| piece(alive().map(|()| &connection)))
            .collect();
        let committed = alive().and_then(|()| {
            connection.execute_batch("commit").map_err(|error| {
                let _ = connection.execute_batch("rollback");
                // What the disk kept of a commit that ended in an I/O error shows only when the file is read again.
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
                    return StoreError::OutcomeUnknown(error.to_string());
                }
                of_sqlite(&error)
            })
        });
        answers.into_iter().for_each(|answer| answer(committed.clone()));
    }
}

/// Runs `work` so that it happens whole or not at all, whatever becomes of its neighbours in the transaction.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let run = || {
        connection.prepare_cached("savepoint piece")?.execute([])?;
        match work(connection) {
            Ok(value) => {
                connection.prepare_cached("release piece")?.execute([])?;
                Ok(value)
            }
            Err(error) => {
                if !connection.is_autocommit() {
                    connection.execute_batch("rollback to piece; release piece")?;
                }
                Err(error)
            }
        }
    };
    run().map_err(|error| of_sqlite(&error))
}
