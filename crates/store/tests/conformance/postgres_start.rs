//! What is noticed when a node starts: an encoding, settings that make a `202` mean less, a pooler.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock, ConversationId, Entropy, MessageId, SystemClock};
use throwaway_postgres::Cluster;
use tokio::task::JoinSet;
use trunkline_store::{Accept, Accepted, Accepting, Outbox, Postgres, Reads, Store, StoreError};

use crate::{
    builders::{Draft, NOT_YET, SMS, name, up_to},
    pgbouncer::PgBouncer,
    walks::check_conversations,
    world::{connect, open_postgres},
};

/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);

fn draft() -> Draft {
    let now = SystemClock::new().now();
    Draft::outbound(MessageId::mint(now, &Entropy::from_system()), now)
}

async fn accept(store: &Postgres) -> Result<Vec<Accepted>, StoreError> {
    store.accept(&[draft().accept()]).await
}

/// Migrates as a node does that waits for its database.
async fn start(store: &Postgres) -> Result<(), StoreError> {
    let started = async {
        loop {
            match store.migrate().await {
                Ok(_) => return Ok(()),
                Err(error @ StoreError::Refused(_)) => return Err(error),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(SOON, started)
        .await
        .expect("the pooler is there soon")
}

#[tokio::test]
async fn an_encoding_that_cannot_store_every_message_is_refused() {
    let cluster = Cluster::shared();
    let create = "create database ascii encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0";
    let administration = connect(&cluster.url("postgres")).await;
    administration.batch_execute(create).await.unwrap();
    let refused = open_postgres(&cluster.url("ascii")).unwrap().migrate().await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(reason)) if reason.contains("SQL_ASCII") && reason.contains("UTF8")),
        "{refused:?}"
    );
}

/// A trigger writes the setting of the store's connections into a table.
#[tokio::test]
async fn commits_wait_for_the_disk_whatever_the_database_has_set() {
    let url = Cluster::shared().create_database();
    let database = connect(&url).await;
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    let seen = "create table seen (setting text);
        create function see() returns trigger language plpgsql as $$
            begin insert into seen values (current_setting('synchronous_commit')); return null; end
        $$;
        create trigger see after insert on messages for each statement execute function see()";
    database.batch_execute(seen).await.unwrap();
    // The store replaces `off` by `on` and keeps settings that wait for standbys.
    for (set, ours) in [("off", "on"), ("remote_apply", "remote_apply"), ("on", "on")] {
        let (_, name) = url.rsplit_once('/').unwrap();
        let sql = format!("alter database {name} set synchronous_commit = {set}; truncate seen");
        database.batch_execute(&sql).await.unwrap();
        accept(&open_postgres(&url).unwrap()).await.unwrap();
        let found: String = database
            .query_one("select setting from seen", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(found, ours, "{set}");
    }
}

/// The lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn unsafe_settings_are_logged() {
    let cluster = Cluster::start_with("fsync = off\nfull_page_writes = off\nsynchronous_commit = off");
    let store = open_postgres(&cluster.create_database()).unwrap();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let told = tracing::subscriber::set_default(subscriber);
    store.migrate().await.unwrap();
    drop(told);
    let log = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    for setting in ["fsync=off", "full_page_writes=off", "synchronous_commit=off"] {
        let warned = |line: &str| line.contains("WARN") && line.contains(&format!("\"{setting}\""));
        assert!(log.lines().any(warned), "{setting}: {log}");
    }
}

#[tokio::test]
async fn a_pooler_by_session_works() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let pooler = PgBouncer::before(cluster, "session");
    let store = Arc::new(open_postgres(&pooler.url(&url)).unwrap());
    start(&store).await.unwrap();
    let mut sends = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        sends.spawn(async move { accept(&store).await });
    }
    for answer in sends.join_all().await {
        assert!(matches!(answer.unwrap()[..], [Accepted::New { .. }]));
    }
    assert_eq!(store.probe().await, Ok(()));
    let claims = store.claim(&name(SMS), up_to(100), NOT_YET).await.unwrap();
    assert_eq!(claims.entries.len(), 50);
    check_conversations(&*store).await;
}

#[tokio::test]
async fn a_pooler_by_transaction_is_refused_with_what_to_do() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let pooler = PgBouncer::before(cluster, "transaction");
    // Also with several server connections that are idle, of which any may be used.
    for _ in 0..3 {
        let refused = start(&open_postgres(&pooler.url(&url)).unwrap()).await;
        assert!(
            matches!(&refused, Err(StoreError::Refused(reason)) if reason.contains("pool_mode = session")),
            "{refused:?}"
        );
    }
}

/// The check runs only at the start. Later failures are transient, never refusals.
#[tokio::test]
async fn a_pooler_that_becomes_one_by_transaction_refuses_nothing_for_good() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let mut pooler = PgBouncer::before(cluster, "session");
    let store = Arc::new(open_postgres(&pooler.url(&url)).unwrap());
    start(&store).await.unwrap();
    accept(&store).await.unwrap();
    pooler.restart("transaction");
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        clients.spawn(async move {
            let (mut good, mut bad) = (0, 0);
            for _ in 0..30 {
                let conversation = store
                    .conversation(ConversationId::new(1).unwrap())
                    .await
                    .map(drop);
                for answer in [accept(&store).await.map(drop), conversation] {
                    match answer {
                        Ok(()) => good += 1,
                        Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) => bad += 1,
                        Err(StoreError::Refused(reason)) => panic!("refused for good: {reason}"),
                    }
                }
            }
            (good, bad)
        });
    }
    let answers = clients.join_all().await;
    let sum = |part: fn(&(u32, u32)) -> u32| answers.iter().map(part).sum::<u32>();
    println!(
        "{} answers were good, {} were not",
        sum(|answer| answer.0),
        sum(|answer| answer.1)
    );
    pooler.restart("session");
    start(&store).await.unwrap();
    let accepts: Vec<Accept> = (0..10).map(|_| draft().accept()).collect();
    assert_eq!(store.accept(&accepts).await.unwrap().len(), 10);
    check_conversations(&*store).await;
}
