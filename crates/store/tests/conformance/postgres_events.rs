//! The event log while several nodes commit at the same time, and transactions take long.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use domain::Outcome;
use domain::{Event, EventId, EventType};
use tokio::task::JoinSet;
use trunkline_store::{Disposition, EventsRead, FIRST_LEASE, Store, StoreError};
use uuid::Uuid;

use crate::{
    builders::{ALREADY, Held, NOT_YET},
    world::{Kind, World, connect, open_postgres},
};

/// Nodes of the storm, each with as many writers.
const NODES: usize = 2;
const WRITERS: usize = 4;
const READERS: usize = 4;
/// What each writer accepts, and settles.
const WRITES: usize = 40;
/// Transactions of the storm that stay open while others commit.
const HELD_OPEN: usize = 20;

async fn read(store: &dyn Store, after: EventId, limit: u32) -> Vec<Event> {
    match insist!(store.events(after, limit).await).await {
        EventsRead::Events(events) => events,
        EventsRead::Expired { start } => panic!("expired until {start}"),
    }
}

async fn all(store: &dyn Store) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let after = events.last().map_or(EventId::START, |event: &Event| event.id);
        let more = read(store, after, 300).await;
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

/// An event of a transaction that is still open.
fn event_of(id: Uuid) -> String {
    format!(
        "insert into event_batches (types, subject_ids, conversation_ids)
         values (array['message.received', 'message.received'], array['{id}', '{id}']::uuid[], array[7, 7])"
    )
}

#[tokio::test]
async fn an_open_transaction_holds_back_only_its_own_events() {
    let world = World::create(Kind::Postgres).await;
    let slow = connect(world.postgres_url()).await;
    slow.batch_execute(&format!("begin; {}", event_of(Uuid::nil())))
        .await
        .unwrap();
    let id = world.accept(world.outbound()).await;
    let before = all(&*world.store).await;
    let seen: Vec<_> = before
        .iter()
        .map(|event| (event.kind, event.subject.message_id()))
        .collect();
    assert_eq!(
        seen,
        [EventType::ConversationCreated, EventType::MessageAccepted].map(|kind| (kind, Some(id)))
    );
    slow.batch_execute("commit").await.unwrap();
    // It began first, and comes after what was read meanwhile.
    let after = all(&*world.store).await;
    assert_eq!(after[..2], before);
    assert_eq!(after.len(), 4);
    assert_eq!(after[3].subject.message_id(), Some(Uuid::nil().into()));
}

#[tokio::test]
async fn nodes_that_place_the_same_events_at_once_place_them_once() {
    let world = World::create(Kind::Postgres).await;
    let session = connect(world.postgres_url()).await;
    let watcher = connect(world.postgres_url()).await;
    for round in 1..10 {
        for _ in 0..3 {
            world.accept(world.outbound()).await;
        }
        session
            .batch_execute("begin; select from event_log for update")
            .await
            .unwrap();
        let mut placing = JoinSet::new();
        for _ in 0..2 {
            let node = world.another_node();
            placing.spawn(async move { node.event_log().await });
        }
        let waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while placing.len() == 2 && watcher.query(waiting, &[]).await.unwrap().len() < 2 {
            if let Some(early) = placing.try_join_next() {
                early.unwrap().unwrap_err();
            }
        }
        session.batch_execute("commit").await.unwrap();
        while let Some(placed) = placing.join_next().await {
            let _busy = placed.unwrap();
        }
        let events = all(&*world.store).await;
        let accepted: Vec<_> = events
            .iter()
            .filter(|event| event.kind == EventType::MessageAccepted)
            .map(|event| event.subject.message_id())
            .collect();
        assert_eq!(accepted.len(), 3 * round);
        assert!(accepted.is_sorted(), "accepted one after the other");
    }
}

/// Any limit, from any place, ends up with the same walk: also within the events of one statement.
#[tokio::test]
async fn a_walk_may_stop_within_the_events_of_one_statement() {
    let world = World::create(Kind::Postgres).await;
    for size in [1, 7, 30] {
        let batch: Vec<_> = (0..size)
            .map(|number| world.outbound().between(number, number + 1).accept())
            .collect();
        world.accept_all(&batch).await;
    }
    let whole = all(&*world.store).await;
    assert!(whole.len() > 38 && whole.is_sorted_by(|one, other| one.id < other.id));
    for limit in [1, 2, 5, 29, 1_000] {
        let mut walk: Vec<Event> = Vec::new();
        loop {
            let after = walk.last().map_or(EventId::START, |event| event.id);
            let more = read(&*world.store, after, limit).await;
            assert!(more.len() <= limit as usize);
            if more.is_empty() {
                break;
            }
            walk.extend(more);
        }
        assert_eq!(walk, whole);
    }
}

#[tokio::test]
async fn purging_moves_the_start_of_the_log_and_never_its_end() {
    let world = World::create(Kind::Postgres).await;
    for _ in 0..5 {
        world.accept(world.outbound()).await;
    }
    let whole = all(&*world.store).await;
    assert_eq!(world.store.purge_events(NOT_YET, 100).await, Ok(0));
    assert_eq!(world.store.purge_events(ALREADY, 3).await, Ok(3));
    let log = world.store.event_log().await.unwrap();
    assert_eq!((log.start, log.end), (whole[2].id, whole[5].id));
    assert_eq!(
        world.store.events(EventId::START, 10).await,
        Ok(EventsRead::Expired { start: log.start })
    );
    assert_eq!(read(&*world.store, log.start, 10).await, whole[3..]);
    assert_eq!(world.store.purge_events(ALREADY, 100).await, Ok(3));
    let emptied = world.store.event_log().await.unwrap();
    assert_eq!((emptied.start, emptied.end), (log.end, log.end));
    world.accept(world.outbound()).await;
    let [next] = &read(&*world.store, log.end, 10).await[..] else {
        panic!("one event was written");
    };
    assert!(next.id > log.end);
}

/// Nodes accept and settle, other transactions stay open, and readers start at events that some reader has seen. All see one
/// order, and each event once.
#[tokio::test]
async fn all_readers_see_every_event_once_in_one_order() {
    let world = Arc::new(World::create(Kind::Postgres).await);
    let writing = Arc::new(AtomicUsize::new(NODES * WRITERS + HELD_OPEN));
    let mut writers = JoinSet::new();
    for node in 0..NODES {
        let store: Arc<dyn Store> = Arc::new(open_postgres(world.postgres_url()).unwrap());
        for writer in 0..WRITERS {
            let (world, store, writing) = (Arc::clone(&world), Arc::clone(&store), Arc::clone(&writing));
            writers.spawn(async move {
                for _ in 0..WRITES {
                    let pair = (node * WRITERS + writer) as u32 % 5;
                    let accept = world.outbound().between(pair, 9).leased(NOT_YET).accept();
                    let held = Held::at_accept(accept.id);
                    assert_eq!(held.token, FIRST_LEASE);
                    let known = insist!({
                        // An unknown outcome is looked up, as the engine does.
                        match store.accept(std::slice::from_ref(&accept)).await {
                            Err(StoreError::OutcomeUnknown(_)) => store
                                .find_accepted(std::slice::from_ref(&accept))
                                .await
                                .map(|found| found.into_iter().flatten().collect()),
                            answer => answer,
                        }
                    });
                    if known.await.is_empty() {
                        continue;
                    }
                    let settlement = held.tried(Outcome::Success, Disposition::Finish);
                    insist!(store.settle(std::slice::from_ref(&settlement)).await).await;
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
    for _ in 0..HELD_OPEN {
        let (world, writing) = (Arc::clone(&world), Arc::clone(&writing));
        writers.spawn(async move {
            let session = connect(world.postgres_url()).await;
            let (id, _) = world.mint();
            session
                .batch_execute(&format!("begin; {}", event_of(id.as_uuid())))
                .await
                .unwrap();
            // Others commit meanwhile, at least so many.
            let commits = world.below(60) as i64;
            let count = "select coalesce(sum(cardinality(subject_ids)), 0)::bigint from event_batches";
            let begun: i64 = session.query_one(count, &[]).await.unwrap().get(0);
            while writing.load(Ordering::SeqCst) > HELD_OPEN
                && session.query_one(count, &[]).await.unwrap().get::<_, i64>(0) < begun + commits
            {
            }
            session.batch_execute("commit").await.unwrap();
            writing.fetch_sub(1, Ordering::SeqCst);
        });
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        readers.spawn(async move {
            let mut walks: Vec<(EventId, Vec<Event>)> = Vec::new();
            let mut known = vec![EventId::START];
            while !done.load(Ordering::SeqCst) {
                let node = world.another_node();
                let start = known[world.below(known.len() as u64) as usize];
                let mut walk: Vec<Event> = Vec::new();
                for _ in 0..world.below(30) {
                    let after = walk.last().map_or(start, |event| event.id);
                    walk.extend(read(&*node, after, 1 + world.below(40) as u32).await);
                }
                known.extend(walk.iter().map(|event| event.id));
                walks.push((start, walk));
            }
            walks
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let whole = all(&*world.store).await;
    let ids: HashSet<EventId> = whole.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), whole.len());
    let mut walked = 0;
    while let Some(walks) = readers.join_next().await {
        for (start, walk) in walks.unwrap() {
            let first = whole.partition_point(|event| event.id <= start);
            assert_eq!(walk, whole[first..first + walk.len()]);
            walked += walk.len();
        }
    }
    assert!(walked > 0);
    every_change_has_its_events(&world, &whole).await;
}

async fn every_change_has_its_events(world: &World, events: &[Event]) {
    let of = |kind: EventType| events.iter().filter(|event| event.kind == kind).count();
    let count = async |sql: &str| world.query(sql).await[0].parse::<usize>().unwrap();
    let messages = count("select count(*)::text from messages").await;
    let entries = count("select count(*)::text from outbox").await;
    assert_eq!(of(EventType::MessageAccepted), messages);
    assert_eq!(of(EventType::MessageDispatched), messages - entries);
    assert_eq!(
        of(EventType::ConversationCreated),
        count("select count(*)::text from conversations").await
    );
    assert_eq!(of(EventType::MessageReceived), 2 * HELD_OPEN);
    // Within a message, in the order in which it happened.
    let mut seen = HashSet::new();
    for event in events {
        let id = event.subject.message_id();
        match event.kind {
            EventType::MessageAccepted => assert!(seen.insert(id)),
            EventType::MessageDispatched => assert!(seen.contains(&id)),
            EventType::ConversationCreated => assert!(!seen.contains(&id)),
            _ => {}
        }
    }
}
