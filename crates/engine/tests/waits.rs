//! Waits on a message and on listings, instead of polling. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "other tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{cell::Cell, sync::Arc, time::Duration};

use domain::{Channel, Clock, Entropy, Message, MessageId, Page, PageRequest, Start, Status};
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use store::{MessageDetail, MessageFilter, Store, StoreError};
use store_model::Memory;
use tokio::task::JoinHandle;
use trunkline_engine::{EngineSettings, Waited};

use faulty_store::{Fault, FaultyStore};
use world::{Act, DrivenClock, World, email, error, message, rejected, scheduled, settings, sms};

const FINAL: [Status; 3] = [Status::Dispatched, Status::Failed, Status::Canceled];
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// From the commit to the answer, on the same node.
const AT_ONCE: Duration = Duration::from_millis(12);

type WaitedMessage = Result<Option<Waited<(MessageDetail, Room)>>, StoreError>;
type WaitedListing = Result<Waited<(Page<Message, MessageId>, Room)>, StoreError>;

/// What a read holds.
#[derive(Debug, PartialEq, Eq)]
struct Room;

thread_local! {
    /// Those of this test, which has a thread to itself.
    static ROOMS: Cell<usize> = const { Cell::new(0) };
}

impl Drop for Room {
    fn drop(&mut self) {
        ROOMS.set(ROOMS.get() - 1);
    }
}

fn room() -> BoxFuture<'static, Result<Room, StoreError>> {
    ROOMS.set(ROOMS.get() + 1);
    ready(Ok(Room)).boxed()
}

fn on_a_faulty_store(settings: EngineSettings) -> (World, Arc<FaultyStore>) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
    let serving = [Channel::Sms, Channel::Email];
    let world = World::on(settings, store.clone(), clock, &serving);
    (world, store)
}

/// Waits in a task. Returns the answer, and when it came.
fn waiting(
    world: &World,
    id: MessageId,
    until: &'static [Status],
    within: Duration,
) -> JoinHandle<(WaitedMessage, Duration)> {
    let (engine, clock) = (Arc::clone(&world.engine), Arc::clone(&world.clock));
    tokio::spawn(async move {
        let answer = engine.wait_for_message(id, until, within, &room).await;
        (answer, clock.monotonic())
    })
}

fn listing(
    world: &World,
    filter: MessageFilter,
    count: u64,
    within: Duration,
) -> JoinHandle<(WaitedListing, Duration)> {
    let (engine, clock) = (Arc::clone(&world.engine), Arc::clone(&world.clock));
    tokio::spawn(async move {
        let page = PageRequest::new(50, Start::First);
        let answer = engine
            .wait_for_messages(&filter, &page, count, within, &room)
            .await;
        (answer, clock.monotonic())
    })
}

fn met(answer: WaitedMessage) -> (Status, bool) {
    let waited = answer.unwrap().unwrap();
    (waited.value.0.message.status, waited.met)
}

#[tokio::test(start_paused = true)]
async fn a_wait_answers_with_the_commit() {
    for offset in [0, 7, 13, 22, 31, 38, 45] {
        let world = World::new(settings()).await;
        world.sms.play([Act::Slow(Duration::from_millis(3_000 + offset))]);
        let id = world.sent(sms("hello")).await;
        let (answer, at) = waiting(&world, id, &FINAL, TEN_SECONDS).await.unwrap();
        assert_eq!(met(answer), (Status::Dispatched, true));
        let commit = Duration::from_millis(3_005 + offset);
        assert!(at - commit <= AT_ONCE, "{:?} after the commit", at - commit);
        assert_eq!(world.metric("trunkline_waits_total{result=\"met\"}"), 1);
        assert_eq!(world.metric("trunkline_waits_under_way"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_on_another_node_answers_with_the_next_poll() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let on = |serving: &[Channel]| World::on(settings(), Arc::clone(&store), Arc::clone(&clock), serving);
    let (sender, other) = (on(&[Channel::Sms]), on(&[Channel::Email]));
    sender.sms.play([Act::Slow(Duration::from_secs(3))]);
    let id = sender.sent(sms("hello")).await;
    let (answer, at) = waiting(&other, id, &FINAL, TEN_SECONDS).await.unwrap();
    assert_eq!(met(answer), (Status::Dispatched, true));
    assert!(at <= Duration::from_millis(3_075), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_met_already_answers_at_once() {
    let world = World::new(settings()).await;
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    let began = world.clock.monotonic();
    let (answer, at) = waiting(&world, id, &FINAL, TEN_SECONDS).await.unwrap();
    assert_eq!((met(answer), at), ((Status::Dispatched, true), began));
    let unknown = MessageId::mint(world.clock.now(), &Entropy::from_seed(99));
    let (answer, at) = waiting(&world, unknown, &FINAL, TEN_SECONDS).await.unwrap();
    assert_eq!((answer, at), (Ok(None), began));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_not_met_answers_in_time_with_what_is_there() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Hang);
    let id = world.sent(sms("hello")).await;
    for within in [Duration::ZERO, Duration::from_millis(1), TEN_SECONDS] {
        let began = world.clock.monotonic();
        let (answer, at) = waiting(&world, id, &FINAL, within).await.unwrap();
        let waited = answer.unwrap().unwrap();
        assert!(!waited.met);
        assert!(
            at - began <= within + Duration::from_millis(1),
            "{:?}",
            at - began
        );
    }
    let (answer, _) = waiting(&world, id, &FINAL, TEN_SECONDS).await.unwrap();
    assert!(!answer.unwrap().unwrap().value.0.attempts.is_empty());
    assert_eq!(world.metric("trunkline_waits_total{result=\"timed_out\"}"), 4);
}

/// No event says that a scheduled message became due.
#[tokio::test(start_paused = true)]
async fn a_wait_for_pending_answers_at_the_time_to_send() {
    let mut drowsy = settings();
    drowsy.dispatch.poll = Duration::from_secs(3_600);
    let world = World::new(drowsy).await;
    let send_at = world.clock.now().saturating_add(Duration::from_millis(4_321));
    let id = world.sent(scheduled(sms("later"), send_at)).await;
    let (answer, at) = waiting(&world, id, &[Status::Pending], TEN_SECONDS)
        .await
        .unwrap();
    assert_eq!(met(answer), (Status::Pending, true));
    assert!(at <= Duration::from_millis(4_350), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_pending_messages_is_met_when_one_is_due() {
    let mut drowsy = settings();
    drowsy.dispatch.poll = Duration::from_secs(3_600);
    let world = World::new(drowsy).await;
    let filter = MessageFilter {
        status: Some(Status::Pending),
        ..MessageFilter::default()
    };
    let send_at = world.clock.now().saturating_add(Duration::from_secs(2));
    world.sent(scheduled(sms("later"), send_at)).await;
    let (answer, at) = listing(&world, filter, 1, TEN_SECONDS).await.unwrap();
    assert!(answer.unwrap().met);
    assert!(at <= Duration::from_millis(2_300), "{at:?}");
}

/// No event says that a dead letter is pending again.
#[tokio::test(start_paused = true)]
async fn a_wait_for_pending_notices_a_redrive() {
    let world = World::new(settings()).await;
    world.sms.play([rejected(), Act::Hang]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Failed).await;
    let wait = waiting(&world, id, &[Status::Pending], TEN_SECONDS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let redriven = world.clock.monotonic();
    world.engine.redrive(id).await.unwrap();
    let (answer, at) = wait.await.unwrap();
    assert_eq!(met(answer), (Status::Pending, true));
    assert!(at - redriven <= Duration::from_millis(260), "{:?}", at - redriven);
}

/// Attempts write no event, and are shown.
#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_shows_the_message_as_it_is_then() {
    let world = World::new(settings()).await;
    world.sms.always(error());
    let id = world.sent(sms("hello")).await;
    let (answer, _) = waiting(&world, id, &[Status::Dispatched], TEN_SECONDS)
        .await
        .unwrap();
    let now = world.store.message(id).await.unwrap().unwrap();
    assert!(now.attempts.len() > 1);
    assert_eq!(answer.unwrap().unwrap().value.0, now);
}

#[tokio::test(start_paused = true)]
async fn a_wait_holds_nothing_that_it_has_read() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Hang);
    let id = world.sent(sms("hello")).await;
    let on_message = waiting(&world, id, &FINAL, TEN_SECONDS);
    let on_listing = listing(&world, MessageFilter::default(), 2, TEN_SECONDS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ROOMS.get(), 0);
    let (_held, _both) = (on_message.await.unwrap(), on_listing.await.unwrap());
    assert_eq!(ROOMS.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_meanwhile_only_delays_the_answer() {
    let (world, store) = on_a_faulty_store(settings());
    world.sms.play([Act::Slow(Duration::from_secs(1))]);
    let id = world.sent(sms("hello")).await;
    let wait = waiting(&world, id, &FINAL, TEN_SECONDS);
    let too_short = waiting(&world, id, &FINAL, Duration::from_secs(4));
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.set(Fault::Away);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!wait.is_finished());
    // What is there is not known.
    let (answer, at) = too_short.await.unwrap();
    assert!(answer.is_err());
    assert!(at <= Duration::from_millis(4_050), "{at:?}");
    // The events can be read again, but not the message.
    store.set(Fault::ReadsNoMessage);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!wait.is_finished());
    store.set(Fault::None);
    let (answer, _) = wait.await.unwrap();
    assert_eq!(met(answer), (Status::Dispatched, true));
    store.set(Fault::Away);
    let (answer, _) = waiting(&world, id, &FINAL, TEN_SECONDS).await.unwrap();
    assert!(answer.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_waits_with_what_is_there() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Hang);
    let id = world.sent(sms("hello")).await;
    let wait = waiting(&world, id, &FINAL, TEN_SECONDS);
    let on_listing = listing(&world, MessageFilter::default(), 2, TEN_SECONDS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.engine.events().end_waits();
    let now = world.clock.monotonic();
    let (answer, at) = wait.await.unwrap();
    assert_eq!((met(answer), at), ((Status::Pending, false), now));
    let (answer, at) = on_listing.await.unwrap();
    assert_eq!((answer.unwrap().met, at), (false, now));
}

#[tokio::test(start_paused = true)]
async fn a_wait_on_a_listing_answers_when_enough_match() {
    let world = World::new(settings()).await;
    let filter = MessageFilter {
        channel: Some(Channel::Email),
        ..MessageFilter::default()
    };
    let wait = listing(&world, filter, 3, TEN_SECONDS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 0..3 {
        assert!(!wait.is_finished());
        world.sent(sms("not this one")).await;
        world.sent(email(&format!("message {number}"))).await;
        tokio::time::sleep(Duration::from_millis(if number < 2 { 500 } else { 0 })).await;
    }
    let third = world.clock.monotonic();
    let (answer, at) = wait.await.unwrap();
    let waited = answer.unwrap();
    assert!(waited.met);
    assert_eq!(waited.value.0.items.len(), 3);
    assert!(at - third <= Duration::from_millis(40), "{:?}", at - third);
}

#[tokio::test(start_paused = true)]
async fn a_wait_on_a_listing_reads_it_again_only_after_events_that_may_matter() {
    let (world, store) = on_a_faulty_store(settings());
    let (other, _) = message(Channel::Sms, "+12016669999", "+18045559999", "elsewhere");
    let first = world.send(sms("here")).await.unwrap();
    let filter = MessageFilter {
        conversation_id: Some(first.conversation_id),
        ..MessageFilter::default()
    };
    world.until(first.id, Status::Dispatched).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let wait = listing(&world, filter, 2, TEN_SECONDS);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.sent((other.clone(), None)).await;
    }
    // One to begin with, and one when the wait knows its place in the log.
    assert_eq!(store.listings(), 2);
    world.sent(sms("here")).await;
    assert!(wait.await.unwrap().0.unwrap().met);
}

#[tokio::test(start_paused = true)]
async fn waits_on_listings_spare_a_busy_store() {
    let (world, store) = on_a_faulty_store(settings());
    let wait = listing(&world, MessageFilter::default(), u64::MAX, Duration::from_secs(2));
    let began = world.clock.monotonic();
    while !wait.is_finished() {
        world.sent(sms("hello")).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (answer, at) = wait.await.unwrap();
    assert!(!answer.unwrap().met);
    assert!(at - began <= Duration::from_millis(2_001), "{:?}", at - began);
    assert!(store.listings() <= 83, "{}", store.listings());
}
