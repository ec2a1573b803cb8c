//! The database changes under a running node: it takes no writes for a while, another server takes over, a host is silent.
//! Nothing needs a restart, and nothing is waited for longer than promised.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::{Cluster, Proxy, Replication, UnreachablePort};
use trunkline_store::{
    Accept, Accepted, Accepting, Archive, Outage, Outbox, Postgres, Reads, Store, StoreError, Unavailable,
};

use crate::{
    builders::Draft,
    driven_clock::DrivenClock,
    world::{connect, open_postgres},
};

/// What a request may take. The promise is two seconds; a busy machine may add some.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);

/// The database's name in a URL.
fn database(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

fn draft() -> Accept {
    let now = SystemClock::new().now();
    Draft::outbound(MessageId::mint(now, &Entropy::from_system()), now).accept()
}

/// Accepts a message, and insists on an answer in time.
async fn accept(store: &Postgres) -> Result<MessageId, StoreError> {
    let message = draft();
    let accepted = in_time("an accept", store.accept(std::slice::from_ref(&message))).await?;
    assert!(matches!(accepted[..], [Accepted::New { .. }]), "{accepted:?}");
    Ok(message.id)
}

/// Insists on an end in time, and prints how long it took.
#[allow(clippy::disallowed_methods, reason = "the time of a machine is the point")]
async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = tokio::time::timeout(ANSWER_MAX, work).await;
    println!("{what} took {:?}", began.elapsed());
    result.expect("everything is answered in time")
}

/// Accepts until that succeeds.
async fn until_accepted(store: &Postgres) -> MessageId {
    let accepted = async {
        loop {
            match accept(store).await {
                Ok(id) => return id,
                Err(StoreError::Refused(reason)) => panic!("{reason}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(SOON, accepted).await.expect("it heals")
}

/// The server processes of the store's connections to a database.
async fn backends(administration: &tokio_postgres::Client, database: &str) -> Vec<i32> {
    let sql =
        "select pid from pg_stat_activity where datname = $1 and application_name = 'trunkline' order by pid";
    let rows = administration.query(sql, &[&database]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn terminate_backends(administration: &tokio_postgres::Client, database: &str) {
    let sql = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where datname = $1 and application_name = 'trunkline'";
    administration.query(sql, &[&database]).await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_read_only_is_written_to_again() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let (database, administration) = (database(&url), connect(&cluster.url("postgres")).await);
    let read_only = async |value: &str| {
        let sql = format!("alter database {database} set default_transaction_read_only = {value}");
        administration.batch_execute(&sql).await.unwrap();
    };
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    let first = accept(&store).await.unwrap();
    assert_eq!(store.probe().await, Ok(()));

    read_only("on").await;
    terminate_backends(&administration, database).await;
    // Several times: a failure must not leave connections that never recover.
    for _ in 0..5 {
        let refused = accept(&store).await;
        assert!(refused.is_err());
        assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
        assert!(store.message(first).await.unwrap().is_some());
    }
    let Err(StoreError::Unavailable(reason)) = accept(&store).await else {
        panic!("it is certain that nothing was stored")
    };
    let Unavailable { outage, reason } = reason;
    assert_eq!(outage, Outage::ReadOnly);
    assert!(
        reason.contains("127.0.0.1") && reason.contains("read-only"),
        "{reason}"
    );

    read_only("off").await;
    assert!(accept(&store).await.is_ok());
    assert_eq!(store.probe().await, Ok(()));
    // Reads do not stay on connections that take no writes.
    assert_eq!(
        in_time("a purge", store.purge_idempotency_keys(SOON, 1)).await,
        Ok(0)
    );
}

/// A setting of the server changes sessions that are open, and these answer 25006.
#[tokio::test]
async fn connections_that_became_read_only_are_not_used_again() {
    let cluster = Cluster::start();
    let store = open_postgres(&cluster.create_database()).unwrap();
    store.migrate().await.unwrap();
    accept(&store).await.unwrap();
    assert_eq!(store.probe().await, Ok(()));
    for _ in 0..2 {
        cluster.set("default_transaction_read_only", "on");
        assert!(matches!(accept(&store).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
        cluster.set("default_transaction_read_only", "off");
        until_accepted(&store).await;
        assert_eq!(store.probe().await, Ok(()));
    }
}

/// An address that moves, or a proxy that follows the primary, may lead to a standby for a moment.
#[tokio::test]
async fn a_name_that_leads_to_a_standby_for_a_while_heals() {
    let primary = Cluster::start();
    let url = primary.create_database();
    let proxy = Proxy::before(primary.port());
    let clock = Arc::new(DrivenClock::new());
    let store = Postgres::open(&proxy.url(&url), clock.clone()).unwrap();
    store.migrate().await.unwrap();
    let first = accept(&store).await.unwrap();
    let standby = primary.standby(Replication::Asynchronous);

    proxy.lead_to(standby.port());
    proxy.cut();
    for _ in 0..3 {
        assert!(accept(&store).await.is_err());
        assert!(store.probe().await.is_err());
        // Better than nothing.
        assert!(store.message(first).await.unwrap().is_some());
    }
    proxy.lead_to(primary.port());
    until_accepted(&store).await;
    assert_eq!(store.probe().await, Ok(()));
    // Its connection to the standby is kept for a second, and then reads find the primary.
    clock.advance(Duration::from_secs(1));
    assert!(store.message(first).await.unwrap().is_some());
    let administration = connect(&standby.url("postgres")).await;
    let left = async { while !backends(&administration, database(&url)).await.is_empty() {} };
    tokio::time::timeout(SOON, left).await.unwrap();
}

#[tokio::test]
async fn a_frozen_first_host_does_not_block_the_second() {
    let (mut frozen, other) = (Cluster::start(), Cluster::start());
    let name = database(&other.create_database()).to_owned();
    frozen.create_database();
    frozen.pause();
    let store = open_postgres(&Cluster::failover_url([&frozen, &other], &name)).unwrap();
    in_time("the start", store.migrate()).await.unwrap();
    in_time("an accept", accept(&store)).await.unwrap();
    in_time("a read", store.message(draft().id)).await.unwrap();
    in_time("a probe", store.probe()).await.unwrap();
}

#[tokio::test]
async fn a_silent_first_host_does_not_block_the_second() {
    // It waits for answers that do not come, which a runtime must not.
    let nowhere = std::thread::scope(|scope| scope.spawn(UnreachablePort::take).join().unwrap());
    let url = Cluster::shared().create_database();
    let url = url.replace("127.0.0.1:", &format!("127.0.0.1:{},127.0.0.1:", nowhere.port()));
    let store = open_postgres(&url).unwrap();
    in_time("the start", store.migrate()).await.unwrap();
    in_time("an accept", accept(&store)).await.unwrap();
    in_time("a read", store.message(draft().id)).await.unwrap();
    in_time("a probe", store.probe()).await.unwrap();
}

/// The primary hangs in the middle of a run, and its standby takes over.
#[tokio::test]
async fn a_primary_that_freezes_is_left_for_its_standby() {
    let mut primary = Cluster::start();
    let url = primary.create_database();
    let mut standby = primary.standby(Replication::Synchronous);
    let store = open_postgres(&Cluster::failover_url([&primary, &standby], database(&url))).unwrap();
    store.migrate().await.unwrap();
    let first = accept(&store).await.unwrap();
    assert_eq!(store.probe().await, Ok(()));

    primary.pause();
    // The first may find a connection that was good.
    assert!(accept(&store).await.is_err());
    let Err(StoreError::Unavailable(reason)) = accept(&store).await else {
        panic!("no server takes writes")
    };
    let Unavailable { outage, reason } = reason;
    assert_eq!(outage, Outage::ReadOnly);
    for (port, told) in [
        (primary.port(), "no answer within"),
        (standby.port(), "read-only"),
    ] {
        assert!(
            reason.contains(&port.to_string()) && reason.contains(told),
            "{reason}"
        );
    }
    assert!(store.probe().await.is_err());
    standby.promote();
    in_time("the first accept after the promotion", until_accepted(&store)).await;
    in_time("a read", store.message(first)).await.unwrap().unwrap();
    in_time("a probe", store.probe()).await.unwrap();
}

/// A change of the schema makes plans useless that connections have: the server says so, and the statement runs on a new one.
#[tokio::test]
async fn an_invalid_plan_fails_no_statement() {
    let url = Cluster::shared().create_database();
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    let message = draft();
    let Accepted::New { conversation_id, .. } =
        store.accept(std::slice::from_ref(&message)).await.unwrap()[0]
    else {
        panic!("it is new")
    };
    assert!(store.conversation(conversation_id).await.unwrap().is_some());
    let change = "alter table conversations alter column channel type varchar(20)";
    connect(&url).await.batch_execute(change).await.unwrap();
    assert!(store.conversation(conversation_id).await.unwrap().is_some());
}

#[tokio::test]
async fn connections_have_a_greatest_age() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let clock = Arc::new(DrivenClock::new());
    let store = Postgres::open(&url, clock.clone()).unwrap();
    store.migrate().await.unwrap();
    accept(&store).await.unwrap();
    let administration = connect(&cluster.url("postgres")).await;
    let before = backends(&administration, database(&url)).await;
    clock.advance(Duration::from_secs(60));
    accept(&store).await.unwrap();
    assert_eq!(backends(&administration, database(&url)).await, before);
    // All kinds that were used, and no more of the old ones.
    clock.advance(Duration::from_secs(30 * 60));
    accept(&store).await.unwrap();
    store.message(draft().id).await.unwrap();
    store.announce(&[], SOON).await.unwrap();
    let gone = async {
        while backends(&administration, database(&url))
            .await
            .iter()
            .any(|backend| before.contains(backend))
        {}
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
}
