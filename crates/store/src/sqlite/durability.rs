use std::sync::Arc;

use domain::SystemClock;

use super::Sqlite;
use crate::Store;

/// The value of `pragma synchronous` for `full`.
const FULL: i64 = 2;

/// Checks the writing connection, because each connection has its own setting. With less, a power cut loses acknowledged
/// messages, which no other test can notice.
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
