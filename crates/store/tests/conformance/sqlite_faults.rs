//! A SQLite store under strain: its file locked by others, its work panicking, reads that never end, reads that never pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Clock, Entropy, MessageId, PageRequest, Start, SystemClock, Timestamp};
use tempfile::TempDir;
use tokio::task::JoinSet;
use trunkline_store::{
    Accepted, Accepting, ConversationFilter, MessageFilter, Outage, Outbox, Reads, Sqlite, Store, StoreError,
};

use crate::{
    builders::{Draft, NOT_YET, SMS, name, up_to},
    sqlite_file::OneFile,
};

/// What a caller may wait. The promise is two seconds; a busy machine may add some.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Awaits an answer, and insists on it in time.
#[allow(clippy::disallowed_methods, reason = "the test measures real time")]
async fn in_time<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let asked = Instant::now();
    let answer = tokio::time::timeout(ANSWER_MAX, answer).await;
    println!("{what}: answered after {:?}", asked.elapsed());
    answer.unwrap_or_else(|_| panic!("{what}: no answer within the time for a statement"))
}

fn is<T>(outage: Outage, result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(unavailable)) if unavailable.outage == outage)
}

#[tokio::test]
async fn everything_is_answered_in_time_while_another_program_locks_the_file() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let known = file.outbound().accept();
    store.accept(std::slice::from_ref(&known)).await.unwrap();
    let intruder = rusqlite::Connection::open(file.directory.path().join("trunkline.db")).unwrap();
    intruder.execute_batch("begin immediate").unwrap();

    let new = file.outbound().accept();
    // They come one after the other, so that some have to wait for the transaction of others first.
    let (probe, accept, claim) = tokio::join!(
        in_time("probe", store.probe()),
        in_time("accept", store.accept(std::slice::from_ref(&new))),
        in_time("claim", async {
            store.claim(&name(SMS), up_to(10), NOT_YET).await
        }),
    );
    let later = in_time("a later probe", store.probe()).await;
    for refused in [accept.map(drop), claim.map(drop)] {
        assert!(is(Outage::Locked, &refused), "{refused:?}");
    }
    for refused in [probe, later] {
        assert!(
            is(Outage::Locked, &refused) || is(Outage::Slow, &refused),
            "{refused:?}"
        );
    }
    let found = in_time("read", store.message(known.id)).await.unwrap();
    assert!(found.is_some());

    drop(intruder);
    assert_eq!(store.probe().await, Ok(()));
    store.accept(&[new]).await.unwrap();
}

#[tokio::test]
async fn each_probe_writes() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let reader = rusqlite::Connection::open(file.directory.path().join("trunkline.db")).unwrap();
    let mut written = Vec::new();
    for _ in 0..3 {
        let before = file.wal_bytes();
        assert_eq!(store.probe().await, Ok(()));
        assert!(file.wal_bytes() > before);
        let filler: Vec<u8> = reader
            .query_row("select filler from probe", [], |row| row.get(0))
            .unwrap();
        assert!(!written.contains(&filler));
        written.push(filler);
    }
    // A file that refuses the write says no.
    file.execute(
        "create trigger full before update on probe begin select raise(rollback, 'disk is full'); end",
    );
    assert!(store.probe().await.is_err());
    file.execute("drop trigger full");
    assert_eq!(store.probe().await, Ok(()));
}

/// A clock that panics when it is asked, on demand: what a bug in a piece of work looks like to the writing thread.
#[derive(Debug)]
struct PanickingClock {
    inner: SystemClock,
    panics: AtomicBool,
}

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a planted panic");
        self.inner.monotonic()
    }
}

#[tokio::test]
async fn work_that_panics_fails_alone() {
    let directory = TempDir::new().unwrap();
    let clock = Arc::new(PanickingClock {
        inner: SystemClock::new(),
        panics: AtomicBool::new(false),
    });
    let store = Sqlite::open(&directory.path().join("trunkline.db"), clock.clone()).unwrap();
    store.migrate().await.unwrap();
    let entropy = Entropy::from_seed(4);
    let draft = || Draft::outbound(MessageId::mint(clock.now(), &entropy), clock.now()).accept();
    for round in 1..=3 {
        clock.panics.store(true, Ordering::Relaxed);
        let accepts = [draft(), draft()];
        let (unlucky, neighbour) = tokio::join!(store.accept(&accepts[..1]), store.accept(&accepts[1..]));
        assert!(matches!(unlucky, Err(StoreError::Refused(_))), "{unlucky:?}");
        assert!(
            matches!(neighbour.as_deref(), Ok([Accepted::New { sequence, .. }]) if *sequence == round),
            "{neighbour:?}"
        );
        assert_eq!(store.message(accepts[0].id).await, Ok(None));
        assert_eq!(store.probe().await, Ok(()));
    }
}

/// From now on, reading a message never ends.
fn read_for_ever(file: &OneFile) {
    file.execute(
        "drop view messages_with_status;
         create view messages_with_status as
         with recursive numbers (n) as (select 1 union all select n + 1 from numbers)
         select
             cast(n as blob) as id, null as conversation_id, null as sequence, '' as direction, '' as channel, '' as sender,
             '' as recipient, '' as subject, '' as body, '' as attachments, '' as metadata, 0 as timestamp,
             0 as processed_at, 0 as send_at, 0 as expires_at, '' as provider, '' as resolution, '' as delivery_status,
             '' as delivery_error_code, 0 as delivery_at, 0 as delivery_contradicted, 0 as due_at, 0 as dead_at,
             0 as attempts, '' as failure_reason, '' as failure_code
         from numbers",
    );
}

#[tokio::test]
async fn a_slow_read_is_interrupted() {
    let file = OneFile::new();
    drop(file.migrated().await);
    read_for_ever(&file);
    let path = file.directory.path().join("trunkline.db");
    let store = Arc::new(Sqlite::open(&path, Arc::new(SystemClock::new())).unwrap());
    let id = file.outbound().accept().id;
    // More than there are connections: the rest gets an error that all are busy.
    let mut reads = JoinSet::new();
    for _ in 0..12 {
        let store = Arc::clone(&store);
        reads.spawn(async move { in_time("read", store.message(id)).await });
    }
    for answer in reads.join_all().await {
        assert!(
            is(Outage::Slow, &answer) || is(Outage::Busy, &answer),
            "{answer:?}"
        );
    }
    // They have ended, and their connections are usable again.
    let filter = ConversationFilter::default();
    let first = PageRequest::new(0, Start::Page(1));
    let page = in_time("another read", store.conversations(&filter, &first)).await;
    assert_eq!(page.unwrap().items, []);
}

#[tokio::test]
async fn a_read_whose_caller_leaves_is_interrupted() {
    let file = OneFile::new();
    let store = file.migrated().await;
    read_for_ever(&file);
    let id = file.outbound().accept().id;
    // The clock of this store stands still: no time limit ends these.
    for _ in 0..8 {
        let left = tokio::time::timeout(Duration::from_millis(20), store.message(id)).await;
        assert!(left.is_err(), "{left:?}");
    }
    let filter = ConversationFilter::default();
    let first = PageRequest::new(0, Start::Page(1));
    let page = in_time("another read", store.conversations(&filter, &first)).await;
    assert_eq!(page.unwrap().items, []);
}

/// What is written while reads never pause, in bytes, and how large the log may become meanwhile: what is allowed, and what
/// is written while the reads under way end.
const WRITTEN: u64 = 96 << 20;
const WAL_BYTES_MAX: u64 = 48 << 20;

#[tokio::test]
async fn the_log_is_bounded_under_steady_reads_and_empty_after_the_end() {
    let file = OneFile::new();
    let store = Arc::new(file.migrated().await);
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        readers.spawn(async move {
            let mut reads = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let page = PageRequest::new(50, Start::Page(1));
                store.messages(&MessageFilter::default(), &page).await.unwrap();
                reads += 1;
            }
            reads
        });
    }
    let (mut largest, body) = (0, "x".repeat(50_000));
    let mut written = 0;
    while written < WRITTEN {
        let batch: Vec<_> = (0..10).map(|_| file.outbound().body(&body).accept()).collect();
        store.accept(&batch).await.unwrap();
        written += batch.len() as u64 * body.len() as u64;
        largest = largest.max(file.wal_bytes());
    }
    done.store(true, Ordering::Relaxed);
    let reads: u32 = readers.join_all().await.into_iter().sum();
    println!("{written} bytes written during {reads} reads; the log grew to {largest}");
    assert!(reads > 8);
    assert!(largest < WAL_BYTES_MAX, "{largest}");

    store.close().await;
    assert_eq!(file.wal_bytes(), 0);
    assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
    drop(store);
    // The same without an orderly end.
    let store = file.open().unwrap();
    store.probe().await.unwrap();
    let page = PageRequest::new(1, Start::Page(1));
    let page = store.messages(&MessageFilter::default(), &page).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(file.wal_bytes() > 0);
    drop(store);
    assert_eq!(file.wal_bytes(), 0);
}

#[tokio::test]
async fn an_entry_without_its_message_holds_up_no_other() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let (broken, whole) = (file.outbound().accept(), file.outbound().accept());
    store.accept(&[broken.clone(), whole.clone()]).await.unwrap();
    let by_hand = rusqlite::Connection::open(file.directory.path().join("trunkline.db")).unwrap();
    let deleted = by_hand.execute("delete from messages where id = ?1", [broken.id.as_uuid()]);
    assert_eq!(deleted, Ok(1));

    let claimed = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap();
    let ids: Vec<_> = claimed.entries.iter().map(|claimed| claimed.leased.id).collect();
    assert_eq!(ids, [whole.id]);
}
