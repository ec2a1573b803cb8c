use std::sync::Arc;

use domain::SystemClock;

use super::Sqlite;
use crate::Store;

/// What `pragma synchronous` says of `full`.
const FULL: i64 = 2;

/// Asked of the connection that writes, since each connection has its own: with less, a power cut takes back what was
/// acknowledged, and no test without one would notice.
#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("trunkline.db"), Arc::new(SystemClock::new())).unwrap();
    store.migrate().await.unwrap();
    let asked = store.write(|connection, _| {
        let journal_mode: String = connection.query_row("pragma journal_mode", [], |row| row.get(0))?;
        let synchronous: i64 = connection.query_row("pragma synchronous", [], |row| row.get(0))?;
        Ok((journal_mode, synchronous))
    });
    assert_eq!(asked.await, Ok(("wal".to_owned(), FULL)));
}
