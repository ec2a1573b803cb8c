//! PostgreSQL is another process, which may be gone, silent, or have a newer schema.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::{Cluster, Proxy, StopMode};
use tokio::task::JoinSet;
use trunkline_store::{
    Accept, AcceptError, Accepted, GroupCommit, GroupCommitLimits, Postgres, Reads, Store, StoreError,
};

use crate::{
    builders::Draft,
    walks::check_conversations,
    world::{Kind, World, connect, open_postgres, start_group_commit},
};

const LIMITS: GroupCommitLimits = GroupCommitLimits {
    queue_max: 1_000,
    batch_max: 100,
};
/// What a requester may wait in silence. The promise is two seconds; a busy machine may add some.
const ANSWER_MAX: Duration = Duration::from_secs(5);

struct Node {
    store: Arc<Postgres>,
    committer: GroupCommit,
    clock: Arc<SystemClock>,
    entropy: Entropy,
}

impl Node {
    async fn at(url: &str) -> Self {
        let store = Arc::new(open_postgres(url).unwrap());
        store.migrate().await.unwrap();
        let clock = Arc::new(SystemClock::new());
        let committer = start_group_commit(store.clone(), LIMITS, clock.clone(), |_| {});
        Self {
            store,
            committer,
            clock,
            entropy: Entropy::from_seed(3),
        }
    }

    fn draft(&self) -> Draft {
        let now = self.clock.now();
        Draft::outbound(MessageId::mint(now, &self.entropy), now)
    }

    /// Accepts a message and insists on an answer in time.
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.committer.accept(accept)).await;
        answer.expect("a requester is answered, whatever the database does")
    }
}

#[tokio::test]
async fn without_its_server_it_is_unavailable_and_recovers_by_itself() {
    let mut cluster = Cluster::start();
    let node = Node::at(&cluster.create_database()).await;
    let first = node.draft().key("k").accept();
    node.accept(first.clone()).await.unwrap();
    for mode in [StopMode::Fast, StopMode::Immediate] {
        cluster.stop(mode);
        // The first to come may find a connection that does not know of its end yet.
        let _ = node.store.probe().await;
        let lost = node.draft().accept();
        for _ in 0..3 {
            let answer = node.accept(lost.clone()).await;
            assert!(matches!(answer, Err(AcceptError::Unavailable(_))), "{answer:?}");
            assert!(matches!(
                node.store.probe().await,
                Err(StoreError::Unavailable(_))
            ));
            assert!(matches!(
                node.store.message(first.id).await,
                Err(StoreError::Unavailable(_))
            ));
        }
        cluster.start_again();
        assert_eq!(node.store.probe().await, Ok(()));
        assert_eq!(node.store.message(lost.id).await, Ok(None));
        assert!(node.store.message(first.id).await.unwrap().is_some());
        assert!(matches!(
            node.accept(node.draft().accept()).await,
            Ok(Accepted::New { .. })
        ));
        let again = node.accept(node.draft().key("k").accept()).await;
        assert!(
            matches!(again, Ok(Accepted::Repeated { id, .. }) if id == first.id),
            "{again:?}"
        );
    }
    check_conversations(&*node.store).await;
}

#[tokio::test]
async fn a_server_that_was_never_there_is_unavailable() {
    let mut cluster = Cluster::start();
    let url = cluster.create_database();
    cluster.stop(StopMode::Fast);
    let store = open_postgres(&url).unwrap();
    assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.migrate().await, Err(StoreError::Unavailable(_))));
    cluster.start_again();
    assert_eq!(store.migrate().await.unwrap().len(), 1);
    assert!(open_postgres("postgres://[").is_err());
}

/// With a silent server answers come in time, no acknowledged message is missing, and no refused one is stored.
#[tokio::test]
async fn a_silent_server_delays_no_answer_beyond_its_limit() {
    let mut cluster = Cluster::start();
    let node = Node::at(&cluster.create_database()).await;
    let node = Arc::new(node);
    // Connections that are open already hear nothing either.
    let (store, accept) = (&node.store, node.draft().accept());
    let warm = tokio::join!(node.accept(accept), store.probe(), store.probe(), store.probe());
    assert!(warm.0.is_ok());

    cluster.pause();
    let asked: Vec<Accept> = (0..20)
        .map(|pair| node.draft().between(pair, 99).accept())
        .collect();
    let mut requests = JoinSet::new();
    for accept in asked.clone() {
        let node = Arc::clone(&node);
        requests.spawn(async move { (accept.clone(), node.accept(accept).await) });
    }
    let mut answers = requests.join_all().await;
    let late = node.draft().accept();
    answers.push((late.clone(), node.accept(late).await));
    let ping = tokio::time::timeout(ANSWER_MAX, node.store.probe()).await;
    assert!(ping.expect("no statement waits longer than a requester").is_err());
    cluster.resume();

    assert_eq!(node.store.probe().await, Ok(()));
    let next = node.accept(node.draft().accept()).await;
    assert!(matches!(next, Ok(Accepted::New { .. })), "{next:?}");
    for (accept, answer) in answers {
        match answer {
            Err(AcceptError::Unavailable(_) | AcceptError::OutcomeUnknown(_)) => {
                assert_eq!(node.store.message(accept.id).await, Ok(None));
            }
            other => panic!("{other:?}"),
        }
    }
    check_conversations(&*node.store).await;
}

/// A proxied node that has its connection and its statements ready.
async fn behind_a_proxy() -> (Node, Proxy) {
    let cluster = Cluster::shared();
    let proxy = Proxy::before(cluster.port());
    let node = Node::at(&proxy.url(&cluster.create_database())).await;
    node.accept(node.draft().accept()).await.unwrap();
    (node, proxy)
}

#[tokio::test]
async fn a_commit_with_a_lost_answer_is_found() {
    let (node, proxy) = behind_a_proxy().await;
    let accept = node.draft().key("k").accept();
    proxy.lose_next_answer();
    let answer = node.accept(accept.clone()).await;
    assert!(
        matches!(answer, Ok(Accepted::New { sequence: 2, .. })),
        "{answer:?}"
    );
    let again = node.accept(node.draft().key("k").accept()).await;
    assert!(
        matches!(again, Ok(Accepted::Repeated { id, .. }) if id == accept.id),
        "{again:?}"
    );
    check_conversations(&*node.store).await;
}

#[tokio::test]
async fn a_request_lost_on_its_way_is_not_taken_for_stored() {
    let (node, proxy) = behind_a_proxy().await;
    let accept = node.draft().key("k").accept();
    proxy.lose_next_request();
    let answer = node.accept(accept.clone()).await;
    // Seen from here it may still be on its way.
    assert!(
        matches!(answer, Err(AcceptError::OutcomeUnknown(_))),
        "{answer:?}"
    );
    assert_eq!(node.store.message(accept.id).await, Ok(None));
    let again = node.accept(node.draft().key("k").accept()).await;
    assert!(
        matches!(again, Ok(Accepted::New { sequence: 2, .. })),
        "{again:?}"
    );
}

/// Clients that repeat until they know: over crashes and silence, every message is stored once, and everything
/// acknowledged is there.
#[tokio::test]
async fn repeats_over_outages_store_each_message_once() {
    let mut cluster = Cluster::start();
    let node = Node::at(&cluster.create_database()).await;
    let node = Arc::new(node);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (node, stopped) = (Arc::clone(&node), stopped.clone());
        clients.spawn(async move {
            let mut acknowledged = Vec::new();
            let mut number = 0;
            while !*stopped.borrow() {
                number += 1;
                let key = format!("{client}-{number}");
                let mut ids = Vec::new();
                loop {
                    let accept = node.draft().between(client % 2, 9).key(&key).accept();
                    ids.push(accept.id);
                    match node.accept(accept.clone()).await {
                        Ok(Accepted::New { .. }) => break acknowledged.push((key, accept.id, ids)),
                        Ok(Accepted::Repeated { id, .. }) => break acknowledged.push((key, id, ids)),
                        Err(AcceptError::Unavailable(_) | AcceptError::OutcomeUnknown(_)) => {}
                        other => panic!("{other:?}"),
                    }
                    // A refused connection is refused at once: let the others have their turn.
                    tokio::task::yield_now().await;
                }
            }
            acknowledged
        });
    }
    let (wave, waves) = std::sync::mpsc::channel::<()>();
    // The outages come from a thread of their own, each after the clients got something through.
    let watcher = Arc::clone(&node);
    let outages = tokio::task::spawn_blocking(move || {
        for outage in 0..5 {
            waves.recv().unwrap();
            match outage {
                1 => {
                    cluster.stop(StopMode::Fast);
                    cluster.start_again();
                }
                3 => {
                    cluster.pause();
                    cluster.resume();
                }
                _ => {
                    cluster.stop(StopMode::Immediate);
                    cluster.start_again();
                }
            }
        }
        cluster
    });
    for _ in 0..5 {
        // Another one each time: one whose outcome is unknown may be stored.
        while watcher.accept(watcher.draft().accept()).await.is_err() {
            tokio::task::yield_now().await;
        }
        wave.send(()).unwrap();
    }
    let cluster = outages.await.unwrap();
    stop.send(true).unwrap();
    let acknowledged: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() >= 6);
    for (key, id, ids) in acknowledged {
        let mut stored = Vec::new();
        for id in ids {
            stored.extend(node.store.message(id).await.unwrap().map(|_| id));
        }
        assert_eq!(stored, [id], "{key}");
    }
    check_conversations(&*node.store).await;
    drop(cluster);
}

/// A repeat within a batch is looked up after the commit. When the look-up fails, the first message is stored nevertheless.
#[tokio::test]
async fn a_failure_after_the_commit_is_no_refusal() {
    let world = World::create(Kind::Postgres).await;
    // The look-up needs a table that the commit takes away.
    let sabotage = "create function sabotage() returns trigger language plpgsql as $$
            begin alter table inbound_ids rename to hidden; return null; end
        $$;
        create constraint trigger sabotage after insert on outbox deferrable initially deferred
            for each row execute function sabotage()";
    world.execute(sabotage, "").await;
    let first = world.outbound().key("k").accept();
    let repeat = world.outbound().key("k").accept();
    let answer = world.store.accept(&[first.clone(), repeat]).await;
    assert!(matches!(answer, Err(StoreError::OutcomeUnknown(_))), "{answer:?}");
    assert!(world.store.message(first.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_and_left_alone() {
    let url = Cluster::shared().create_database();
    let store = open_postgres(&url).unwrap();
    assert_eq!(store.migrate().await.unwrap(), ["0001_initial"]);
    connect(&url)
        .await
        .batch_execute("insert into schema_migrations (number, name) values (1000, 'from the future')")
        .await
        .unwrap();
    let refused = store.migrate().await;
    let Err(StoreError::Refused(reason)) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("1000") && reason.contains("newer"), "{reason}");
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once() {
    let url = Cluster::shared().create_database();
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        nodes.spawn(async move { open_postgres(&url).unwrap().migrate().await.unwrap() });
    }
    let mut applied: Vec<usize> = nodes.join_all().await.iter().map(Vec::len).collect();
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, 0, 0, 1]);
}
