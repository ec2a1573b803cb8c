//! What is true of SQLite alone: its rows are in a file, and the file belongs to one process.

use std::sync::Arc;

use domain::{Clock, Entropy, MessageId, Outcome, Status};
use tempfile::TempDir;
use trunkline_store::{
    AcceptError, Accepted, Accepting, Claims, FIRST_LEASE, GroupCommitLimits, Outbox, Reads, Sqlite, Store,
    StoreError,
};

use crate::{
    builders::{Draft, NOT_YET, SMS, name, request, up_to},
    driven_clock::DrivenClock,
    walks::{all_conversations, all_messages, check_conversations},
    world::start_group_commit,
};

pub(crate) struct OneFile {
    pub(crate) directory: TempDir,
    pub(crate) clock: Arc<DrivenClock>,
    entropy: Entropy,
}

impl OneFile {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            clock: Arc::new(DrivenClock::new()),
            entropy: Entropy::from_seed(2),
        }
    }

    pub(crate) fn open(&self) -> Result<Sqlite, String> {
        Sqlite::open(&self.directory.path().join("trunkline.db"), self.clock.clone())
    }

    pub(crate) async fn migrated(&self) -> Sqlite {
        let store = self.open().unwrap();
        store.migrate().await.unwrap();
        store
    }

    pub(crate) fn execute(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.directory.path().join("trunkline.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// The size of the write-ahead log; 0 when there is none.
    pub(crate) fn wal_bytes(&self) -> u64 {
        let wal = self.directory.path().join("trunkline.db-wal");
        std::fs::metadata(wal).map_or(0, |wal| wal.len())
    }

    pub(crate) fn outbound(&self) -> Draft {
        self.clock.advance(std::time::Duration::from_micros(1));
        let now = self.clock.now();
        Draft::outbound(MessageId::mint(now, &self.entropy), now)
    }
}

/// What a killed process left in the log can be read, though it may not be on the disk. Requests are answered with it.
#[tokio::test]
async fn the_log_of_a_killed_process_is_in_the_file_once_it_is_open() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let accepted = file.outbound().accept();
    store.accept(&[accepted]).await.unwrap();
    let copy = |from: &TempDir, names: &[&str]| {
        let to = TempDir::new().unwrap();
        for name in names {
            std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
        }
        to
    };
    let killed = copy(&file.directory, &["trunkline.db", "trunkline.db-wal"]);
    let _next = Sqlite::open(&killed.path().join("trunkline.db"), file.clock.clone()).unwrap();
    let without_log = copy(&killed, &["trunkline.db"]);
    let connection = rusqlite::Connection::open(without_log.path().join("trunkline.db")).unwrap();
    let messages = connection.query_row("select count(*) from messages", [], |row| row.get::<_, i64>(0));
    assert_eq!(messages, Ok(1));
}

#[tokio::test]
async fn everything_is_there_when_the_file_is_opened_again() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let first = file.outbound().key("k").accept();
    store.accept(std::slice::from_ref(&first)).await.unwrap();
    for pair in 0..5 {
        store
            .accept(&[file.outbound().between(pair, 9).body("\r\n\u{1f44d}").accept()])
            .await
            .unwrap();
    }
    let before = (all_conversations(&store).await, all_messages(&store).await);
    drop(store);

    let store = file.open().unwrap();
    assert_eq!(store.migrate().await, Ok(vec![]));
    assert_eq!(
        (all_conversations(&store).await, all_messages(&store).await),
        before
    );
    check_conversations(&store).await;
    let again = store.accept(&[file.outbound().key("k").accept()]).await.unwrap();
    assert!(matches!(again[..], [Accepted::Repeated { id, .. }] if id == first.id));
    let conflict = store.find_repeated(&request("k", "other")).await;
    assert_eq!(conflict, Ok(Some(Accepted::KeyConflict)));
    let next = store.accept(&[file.outbound().accept()]).await.unwrap();
    assert!(
        matches!(next[..], [Accepted::New { sequence: 2, .. }]),
        "{next:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_open_cannot_be_opened_again() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let refusal = file.open().unwrap_err();
    assert!(
        refusal.contains("another process") && refusal.contains("PostgreSQL"),
        "{refusal}"
    );
    // The refused one did no harm: leases are not given up by it.
    store
        .accept(&[file.outbound().leased(NOT_YET).accept()])
        .await
        .unwrap();
    assert!(file.open().is_err());
    assert_eq!(
        store.claim(&name(SMS), up_to(10), NOT_YET).await,
        Ok(Claims::default())
    );
    drop(store);
    assert!(file.open().is_ok());
}

#[tokio::test]
async fn leases_of_a_previous_process_expire_at_once_and_are_recorded() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let leased = file.outbound().leased(NOT_YET).accept();
    let free = file.outbound().accept();
    store.accept(&[leased.clone(), free.clone()]).await.unwrap();
    drop(store);

    let store = file.open().unwrap();
    let claimed = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap().entries;
    let told: Vec<_> = claimed
        .iter()
        .map(|claimed| (claimed.leased.id, claimed.lease_expired))
        .collect();
    assert_eq!(told, [(leased.id, true), (free.id, false)]);
    assert!(claimed[0].leased.token > FIRST_LEASE);
    let attempts = store.message(leased.id).await.unwrap().unwrap().attempts;
    assert_eq!((attempts.len(), attempts[0].outcome), (1, Outcome::Unknown));
    assert_eq!(store.release(&[(leased.id, FIRST_LEASE)]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_and_left_alone() {
    let file = OneFile::new();
    drop(file.migrated().await);
    file.execute("pragma user_version = 1000");
    let store = file.open().unwrap();
    let refused = store.migrate().await;
    let Err(StoreError::Refused(reason)) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("1000") && reason.contains("newer"), "{reason}");
    assert_eq!(store.migrate().await, Err(StoreError::Refused(reason)));
}

/// A backup tool, say, that takes the file and does not let go.
#[tokio::test]
async fn messages_refused_while_another_program_locks_the_file_are_not_stored() {
    let file = OneFile::new();
    let store = Arc::new(file.migrated().await);
    let limits = GroupCommitLimits {
        queue_max: 10,
        batch_max: 1,
    };
    let committer = start_group_commit(store.clone(), limits, file.clock.clone(), |_| {});
    let intruder = rusqlite::Connection::open(file.directory.path().join("trunkline.db")).unwrap();
    intruder.execute_batch("begin immediate").unwrap();
    let [begun, waiting, next] = [(); 3].map(|()| file.outbound().accept());
    let refused = tokio::join!(committer.accept(begun.clone()), committer.accept(waiting.clone()));
    for answer in [refused.0, refused.1] {
        assert!(matches!(answer, Err(AcceptError::Unavailable(_))), "{answer:?}");
    }
    drop(intruder);
    committer.accept(next).await.unwrap();
    for accept in [begun, waiting] {
        assert_eq!(store.message(accept.id).await, Ok(None));
    }
}

/// Some errors, such as a full disk, end SQLite's whole transaction: what shared it is not stored, and must not be
/// acknowledged, while what comes after it must not slip in without a commit.
#[tokio::test]
async fn a_transaction_that_ends_early_fails_all_its_work() {
    let file = OneFile::new();
    let store = Arc::new(file.migrated().await);
    file.execute(
        "create trigger no_poison before insert on messages when new.body = 'poison'
            begin select raise(rollback, 'no poison here'); end",
    );
    for _ in 0..20 {
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..9 {
            let draft = file.outbound().between(number, 10);
            let draft = if number == 4 { draft.body("poison") } else { draft };
            let (store, accept) = (Arc::clone(&store), draft.accept());
            writers.spawn(async move { (accept.clone(), store.accept(&[accept]).await) });
        }
        for (accept, answer) in writers.join_all().await {
            let stored = store.message(accept.id).await.unwrap();
            match answer {
                Ok(_) => assert_eq!(stored.unwrap().message.status, Status::Pending),
                Err(StoreError::Unavailable(_)) => assert_eq!(stored, None),
                Err(StoreError::Refused(reason)) => {
                    assert_eq!(
                        (accept.message.content.body.as_str(), stored),
                        ("poison", None),
                        "{reason}"
                    );
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    check_conversations(&*store).await;
}
