//! Readers on all nodes see every event once, in one order, whatever happens to nodes and commits.

mod readers;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::Entropy;
use throwaway_postgres::Cluster;
use tokio::task::block_in_place;

use self::readers::Readers;
pub(super) use self::readers::whole_log;
use super::with_receipts;
use crate::{
    faults::with_misbehaving_providers,
    world::{Contents, Event, Id, Kind, Load, Node, Pace, SOON, Stopwatch, Targets, World, connect, execute},
};

const SECONDS_ON_POSTGRES: u64 = 60;
const SECONDS_ON_SQLITE: u64 = 12;
const WRITERS_PER_NODE: usize = 8;
const READERS: u64 = 4;
/// Accepted messages between two kills.
const MESSAGES_PER_KILL: usize = 400;

/// A fifth of the commits that write events take up to 100 ms longer.
const SLOW_COMMITS: &str = "
    create function commit_slowly() returns trigger language plpgsql as $$
        begin
            if random() < 0.2 then perform pg_sleep(random() * 0.1); end if;
            return null;
        end
    $$;
    create constraint trigger slow_commit after insert on event_batches
        deferrable initially deferred for each row execute function commit_slowly()";

const EARLY_EVENT: &str = "
    insert into event_batches (types, subject_ids, conversation_ids)
    select array['message.canceled'], array[id], array[conversation_id]
    from messages
    order by id desc
    limit 1
    returning subject_ids[1]::text";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_postgres_have_one_log() {
    let url = block_in_place(|| Cluster::shared().create_database());
    let world = World::on(url.clone());
    let migrated = world.run(&["migrate"]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    execute(&url, SLOW_COMMITS).await.unwrap();
    let holding = tokio::spawn(hold_transactions_open(url));
    let length = Duration::from_secs(SECONDS_ON_POSTGRES);
    check_the_log(world, 2, length, async || holding.await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_sqlite_has_one_log() {
    let world = World::new(Kind::Sqlite);
    let length = Duration::from_secs(SECONDS_ON_SQLITE);
    check_the_log(world, 1, length, async || BTreeSet::new()).await;
}

/// Transactions of another session, each with an event that is written seconds before its commit. Returns the messages of these
/// events, which say that the message was canceled.
async fn hold_transactions_open(url: String) -> BTreeSet<Id> {
    let mut session = connect(&url).await.unwrap();
    let mut held = BTreeSet::new();
    let watch = Stopwatch::start();
    while watch.elapsed() < Duration::from_secs(SECONDS_ON_POSTGRES) {
        let transaction = session.transaction().await.unwrap();
        let written = transaction.query(EARLY_EVENT, &[]).await.unwrap();
        transaction.batch_execute("select pg_sleep(3)").await.unwrap();
        transaction.commit().await.unwrap();
        held.extend(written.iter().map(|row| Id::of(row.get(0))));
    }
    assert!(held.len() > 5, "{held:?}");
    held
}

async fn check_the_log(
    world: World,
    nodes: usize,
    length: Duration,
    by_hand: impl AsyncFnOnce() -> BTreeSet<Id>,
) {
    let world = with_receipts(with_misbehaving_providers(world));
    let mut running: Vec<Node> = Vec::new();
    for _ in 0..nodes {
        running.push(world.start_node().await);
    }
    let targets = Targets::of(&running);
    let pace = Pace {
        clients: WRITERS_PER_NODE * nodes,
        every: Duration::from_millis(25),
        timeout: Duration::from_secs(5),
    };
    let load = Load::start(&targets, pace);
    let readers = Readers::start(READERS, &targets);
    let random = Entropy::from_seed(1);
    let (watch, mut kills) = (Stopwatch::start(), 0);
    while watch.elapsed() < length {
        load.until_accepted(MESSAGES_PER_KILL / 2 + random.next_u64() as usize % MESSAGES_PER_KILL)
            .await;
        let place = kills % nodes;
        running.remove(place).kill().await;
        running.insert(place, world.start_node().await);
        targets.replace(place, &running[place]);
        kills += 1;
    }
    let report = load.stop().await;
    let by_hand = by_hand().await;
    world.until_all_final(SOON).await;
    let log = whole_log(&running[0].client, &running[0].url).await;
    let walks = readers.end(&log).await;
    for node in running {
        node.stop().await;
    }
    let summary = world.audit_final(&report.offers).await;
    let contents = world.contents().await;
    check_events(&log, &contents, &by_hand);
    println!(
        "{} events, {} walks of {READERS} readers, {kills} kills in {:?}; {summary}",
        log.len(),
        walks,
        watch.elapsed()
    );
    assert!(
        walks > READERS as usize && kills > 3,
        "{walks} walks, {kills} kills"
    );
}

/// Every change has its event, exactly one, and those of a message are in order.
fn check_events(log: &[Event], contents: &Contents, by_hand: &BTreeSet<Id>) {
    assert!(log.is_sorted_by(|one, next| one.id < next.id), "ids do not grow");
    let mut places: BTreeMap<(&str, Id), usize> = BTreeMap::new();
    for (place, event) in log.iter().enumerate() {
        let earlier = places.insert((&event.kind, Id::of(&event.subject)), place);
        assert_eq!(earlier, None, "twice: {event:?}");
    }
    let mut expected = by_hand.len();
    for id in by_hand {
        assert!(
            places.contains_key(&("message.canceled", id.clone())),
            "lost: {id:?}"
        );
    }
    for message in &contents.messages {
        let kinds: &[&str] = match message.status.as_str() {
            "received" => &["message.received"],
            "dispatched" => &["message.accepted", "message.dispatched"],
            "delivered" => &["message.accepted", "message.dispatched", "message.delivered"],
            "undelivered" => &["message.accepted", "message.dispatched", "message.undelivered"],
            "failed" => &["message.accepted", "message.failed"],
            _ => panic!("not final: {message:?}"),
        };
        let found: Vec<Option<&usize>> = kinds
            .iter()
            .map(|kind| places.get(&(*kind, message.id.clone())))
            .collect();
        assert!(
            found.iter().all(Option::is_some) && found.is_sorted(),
            "events {found:?} of {message:?}"
        );
        expected += kinds.len();
        // It contradicted itself and became delivered.
        let also = places.contains_key(&("message.undelivered", message.id.clone()));
        expected += usize::from(also && message.status == "delivered");
    }
    let created: Vec<&Event> = log
        .iter()
        .filter(|event| event.kind == "conversation.created")
        .collect();
    assert_eq!(created.len(), contents.conversations.len());
    let mut conversations: Vec<&str> = created.iter().map(|event| &*event.conversation).collect();
    conversations.sort_unstable();
    conversations.dedup();
    assert_eq!(conversations.len(), created.len(), "created twice");
    assert_eq!(log.len(), expected + created.len(), "events of other messages");
    for event in created {
        let first = log.iter().find(|other| other.conversation == event.conversation);
        assert_eq!(first, Some(event), "an earlier event of its conversation");
    }
}
