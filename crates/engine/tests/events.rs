//! The event log as a node follows it. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "other tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    Address, Channel, Clock, Entropy, Event, EventId, EventType, MessageId, NewMessage, Receipt,
    ReceiptStatus, Status,
};
use store::{EventsRead, Store};
use store_model::Memory;
use trunkline_engine::{Engine, EngineSettings};

use faulty_store::{Fault, FaultyStore};
use world::{Act, DrivenClock, World, error, scheduled, settings, sms, taken, tick};

/// A wake-up of the same node: the log is read at once, or right after a read that just began.
const AT_ONCE: Duration = Duration::from_millis(12);
/// A wake-up of another node: the next poll.
const POLLED: Duration = Duration::from_millis(62);

fn on_a_faulty_store(settings: EngineSettings) -> (World, Arc<FaultyStore>) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
    let world = World::on(settings, store.clone(), clock, &[Channel::Sms]);
    (world, store)
}

/// Two nodes on one store; the second serves email only.
fn two_nodes() -> (World, World) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let on = |serving: &[Channel]| World::on(settings(), Arc::clone(&store), Arc::clone(&clock), serving);
    (on(&[Channel::Sms]), on(&[Channel::Email]))
}

async fn end(world: &World) -> EventId {
    world.engine.events().end().await.unwrap()
}

async fn all(store: &dyn Store) -> Vec<EventId> {
    match store.events(EventId::START, u32::MAX).await.unwrap() {
        EventsRead::Events(events) => events.iter().map(|event| event.id).collect(),
        EventsRead::Expired { .. } => panic!("nothing was purged"),
    }
}

fn events(read: EventsRead) -> Vec<Event> {
    match read {
        EventsRead::Events(events) => events,
        EventsRead::Expired { start } => panic!("the log begins after {start}"),
    }
}

fn kinds(read: EventsRead) -> Vec<EventType> {
    events(read).iter().map(|event| event.kind).collect()
}

fn inbound(body: &str) -> NewMessage {
    let address = |text| Address::recipient(Channel::Sms, text, None).unwrap();
    let (mut message, _) = sms(body);
    (message.from, message.to) = (
        address("+18045551234").participant,
        address("+12016661234").participant,
    );
    message
}

/// How long it takes until the log has events after a place.
async fn took(world: &World, after: EventId) -> Duration {
    let began = world.clock.monotonic();
    assert!(world.engine.events().beyond(after).await);
    world.clock.monotonic() - began
}

#[tokio::test(start_paused = true)]
async fn a_log_that_nothing_follows_is_not_read() {
    let (world, store) = on_a_faulty_store(settings());
    for number in 0..20 {
        world.sent(sms(&format!("message {number}"))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(store.event_reads(), 0);
    let followed = world.engine.events().follow();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(store.event_reads() >= 30, "{}", store.event_reads());
    drop(followed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = store.event_reads();
    world.sent(sms("one more")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(store.event_reads(), before);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_followers_costs_the_store_one_reader() {
    let (world, store) = on_a_faulty_store(settings());
    let start = end(&world).await;
    // Each reads as a stream does.
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let engine = Arc::clone(&world.engine);
            tokio::spawn(async move {
                let (log, mut place, mut accepted) = (engine.events(), start, 0);
                while accepted < 20 {
                    let read = events(log.read(place, 3).await.unwrap());
                    match read.last() {
                        Some(last) => place = last.id,
                        None => assert!(log.beyond(place).await),
                    }
                    accepted += read
                        .iter()
                        .filter(|event| event.kind == EventType::MessageAccepted)
                        .count();
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Until the log is followed, each reader asks the store.
    let before = store.event_reads();
    assert!(before <= 125, "{before}");
    for number in 0..20 {
        world.sent(sms(&format!("message {number}"))).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let reads = store.event_reads() - before;
    assert!(reads <= 100, "{reads}");
}

/// Each kind of commit at each time between two polls.
#[tokio::test(start_paused = true)]
async fn every_commit_of_this_node_wakes_at_once() {
    let mut hasty = settings();
    hasty.dispatch.attempts_max = 1;
    hasty.dispatch.poll = Duration::from_secs(3_600);
    let world = World::new(hasty).await;
    let _following = world.engine.events().follow();
    for offset in [0, 7, 13, 22, 31, 38, 45] {
        let pause = || tokio::time::sleep(Duration::from_millis(200 + offset));
        world.sms.play([
            Act::After(
                Duration::from_millis(300),
                Box::new(taken(&format!("p-{offset}"))),
            ),
            Act::After(Duration::from_millis(300), Box::new(error())),
        ]);
        pause().await;
        let before = end(&world).await;
        let id = world.sent(sms("accepted")).await;
        assert!(took(&world, before).await <= AT_ONCE, "accept at {offset}");

        let before = end(&world).await;
        while world.sms.calls().iter().all(|call| call.0 != id) {
            tick().await;
        }
        let dispatched = took(&world, before).await;
        // The call, and the time that a recorder waits for more results.
        assert!(
            dispatched <= Duration::from_millis(305) + AT_ONCE,
            "settle at {offset}: {dispatched:?}"
        );
        assert_eq!(world.status(id).await, Status::Dispatched);

        pause().await;
        let before = end(&world).await;
        let now = world.clock.now();
        let receipt = Receipt {
            provider: None,
            provider_message_id: Some(format!("p-{offset}").parse().unwrap()),
            message_id: None,
            status: ReceiptStatus::Delivered,
            error_code: None,
            at: now,
            received_at: now,
        };
        world.engine.receive_receipt(receipt).await.unwrap();
        assert!(took(&world, before).await <= AT_ONCE, "receipt at {offset}");

        world.sent(sms("fails")).await;
        pause().await;
        let before = end(&world).await;
        let failed = took(&world, before).await;
        assert!(failed <= Duration::from_millis(305) + AT_ONCE, "{failed:?}");

        pause().await;
        let before = end(&world).await;
        let provider = "sms-mms".parse().unwrap();
        let provider_id = format!("in-{offset}").parse().unwrap();
        world
            .engine
            .receive(inbound("hi"), provider, provider_id, "{}".into())
            .await
            .unwrap();
        assert!(took(&world, before).await <= AT_ONCE, "receive at {offset}");

        let later = world.clock.now().saturating_add(Duration::from_secs(3_600));
        let id = world.sent(scheduled(sms("never"), later)).await;
        pause().await;
        let before = end(&world).await;
        world.engine.cancel(id).await.unwrap();
        assert!(took(&world, before).await <= AT_ONCE, "cancel at {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_another_node_wakes_with_the_next_poll() {
    let (writer, reader) = two_nodes();
    let _following = reader.engine.events().follow();
    for offset in [0, 7, 13, 22, 31, 38, 45] {
        tokio::time::sleep(Duration::from_millis(500 + offset)).await;
        let before = end(&reader).await;
        writer.sent(sms("hello")).await;
        let took = took(&reader, before).await;
        assert!(took <= POLLED, "{took:?}");
    }
}

/// Readers start anywhere and at any time, read in pieces of any size, and pause: some read from memory, some from the store,
/// most from both.
#[tokio::test(start_paused = true)]
async fn every_reader_sees_each_event_once_and_in_the_same_order() {
    let (writer, other) = two_nodes();
    let done = Arc::new(AtomicBool::new(false));
    let entropy = Entropy::from_seed(5);
    let mut readers = Vec::new();
    for number in 0..24 {
        let engine = Arc::clone(if number % 2 == 0 {
            &writer.engine
        } else {
            &other.engine
        });
        let (done, draws) = (Arc::clone(&done), entropy.child(&format!("reader/{number}")));
        readers.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(draws.next_u64() % 4_000)).await;
            let start = if draws.next_u64().is_multiple_of(2) {
                EventId::START
            } else {
                engine.events().end().await.unwrap()
            };
            (start, walk(&engine, start, &draws, &done).await)
        }));
    }
    for number in 0..400 {
        writer.sent(sms(&format!("message {number}"))).await;
        tokio::time::sleep(Duration::from_millis(entropy.next_u64() % 20)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let all = all(&*writer.store).await;
    done.store(true, Ordering::Relaxed);
    assert!(all.len() > 800);
    for reader in readers {
        let (start, seen) = reader.await.unwrap();
        let expected: Vec<EventId> = all.iter().copied().filter(|id| *id > start).collect();
        assert_eq!(seen, expected);
    }
}

/// Reads until there is nothing more, and the test is over.
async fn walk(engine: &Engine, start: EventId, draws: &Entropy, done: &AtomicBool) -> Vec<EventId> {
    let (log, mut seen, mut place) = (engine.events(), Vec::new(), start);
    loop {
        let limit = 1 + (draws.next_u64() % 50) as u32;
        let over = done.load(Ordering::Relaxed);
        let read = if draws.next_u64().is_multiple_of(4) {
            log.read_now(place, limit).await
        } else {
            log.read(place, limit).await
        };
        let ids: Vec<EventId> = events(read.unwrap()).iter().map(|event| event.id).collect();
        match ids.last() {
            Some(last) => {
                place = *last;
                seen.extend(ids);
            }
            None if over => return seen,
            None => drop(tokio::time::timeout(Duration::from_secs(1), log.beyond(place)).await),
        }
        // A slow reader now and then, longer than the log is followed without followers.
        let pause = if draws.next_u64().is_multiple_of(20) {
            1_500
        } else {
            draws.next_u64() % 30
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn read_now_has_every_commit_before_the_call() {
    let (writer, reader) = two_nodes();
    let _following = reader.engine.events().follow();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = end(&reader).await;
    for number in 0..50 {
        let id = writer.sent(sms(&format!("message {number}"))).await;
        // The memory of the log has the earlier messages, and not this one yet.
        let read = reader.engine.events().read_now(before, 1_000).await.unwrap();
        let about = |event: &Event| event.subject.message_id() == Some(id);
        assert!(events(read).iter().any(about), "message {number}");
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_only_delays() {
    let (world, store) = on_a_faulty_store(settings());
    let before = end(&world).await;
    let following = world.engine.events().follow();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = tokio::spawn({
        let engine = Arc::clone(&world.engine);
        async move { engine.events().beyond(before).await }
    });
    store.set(Fault::Away);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!waiting.is_finished());
    store.set(Fault::None);
    let back = world.clock.monotonic();
    world.sent(sms("hello")).await;
    assert!(waiting.await.unwrap());
    let took = world.clock.monotonic() - back;
    assert!(took <= Duration::from_millis(250), "{took:?}");
    let read = world.engine.events().read(before, 10).await.unwrap();
    assert_eq!(
        kinds(read)[..2],
        [EventType::ConversationCreated, EventType::MessageAccepted]
    );
    drop(following);
}

#[tokio::test(start_paused = true)]
async fn a_reader_from_before_what_is_kept_learns_where_the_log_begins() {
    let mut forgetful = settings();
    forgetful.events_retention = Duration::from_secs(600);
    let (world, _) = on_a_faulty_store(forgetful);
    let _following = world.engine.events().follow();
    world.sent(sms("old")).await;
    tokio::time::sleep(Duration::from_secs(700)).await;
    let old = end(&world).await;
    assert_eq!(
        world.engine.events().read(EventId::START, 10).await,
        Ok(EventsRead::Expired { start: old })
    );
    world.sent(sms("new")).await;
    assert!(world.engine.events().beyond(old).await);
    let read = world.engine.events().read(old, 10).await.unwrap();
    assert_eq!(kinds(read)[..1], [EventType::MessageAccepted]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_waits_ends_them_and_later_ones() {
    for drain in [true, false] {
        let world = World::new(settings()).await;
        let waiting = tokio::spawn({
            let engine = Arc::clone(&world.engine);
            async move { engine.events().beyond(EventId::START).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waiting.is_finished());
        if drain {
            world.engine.drain(Duration::from_secs(10)).await;
        } else {
            world.engine.events().end_waits();
        }
        let began = world.clock.monotonic();
        assert!(!waiting.await.unwrap());
        assert!(!world.engine.events().beyond(EventId::START).await);
        assert_eq!(world.clock.monotonic(), began);
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_one_message_are_in_the_order_in_which_they_happened() {
    let world = World::new(settings()).await;
    world.sms.play([taken("p-1")]);
    let id: MessageId = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    let read = world.engine.events().read(EventId::START, 10).await.unwrap();
    assert_eq!(
        kinds(read),
        [
            EventType::ConversationCreated,
            EventType::MessageAccepted,
            EventType::MessageDispatched
        ]
    );
}
