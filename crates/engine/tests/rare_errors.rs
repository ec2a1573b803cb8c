//! Rare errors: panics, a store that fails for one kind of call only, clocks that stand still. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "the server's tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{Channel, Clock, FailureReason, MessageId, Outcome, Status, Timestamp};
use store::{Accepting, Store};
use store_model::Memory;
use trunkline_engine::{BreakerState, EngineSettings};

use faulty_store::{Fault, FaultyStore};
use world::{Act, DrivenClock, World, error, keyed, settings, sms, tick};

/// A node on a store whose calls a test can make fail.
fn on_a_faulty_store(settings: EngineSettings) -> (World, Arc<FaultyStore>) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
    let world = World::on(settings, store.clone(), clock, &[Channel::Sms, Channel::Email]);
    (world, store)
}

#[tokio::test(start_paused = true)]
async fn panics_use_up_no_workers() {
    let mut narrow = settings();
    narrow.dispatch.lane.concurrency = 2;
    let world = World::new(narrow).await;
    for number in 0..3 {
        world.sms.play([Act::Panic, Act::Panic]);
        let id = world.sent(sms(&format!("message {number}"))).await;
        world.until(id, Status::Dispatched).await;
        assert_eq!(
            world.outcomes(id).await,
            [Outcome::Error, Outcome::Error, Outcome::Success]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn panics_of_probes_use_up_no_permits() {
    let mut fragile = settings();
    fragile.dispatch.lane.breaker.error_threshold = 1;
    fragile.dispatch.lane.breaker.half_open_in_flight = 2;
    let world = World::new(fragile).await;
    world.sms.play([error(), Act::Panic, Act::Panic, Act::Panic]);
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(world.sent(sms(&format!("message {number}"))).await);
        while world.sms_report().await.breaker.state == BreakerState::Closed {
            tick().await;
        }
    }
    let began = world.clock.monotonic();
    for id in ids {
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!(world.sms_report().await.breaker.state, BreakerState::Closed);
    // One cool-down and the time of the probes: the breaker does not wait for lost permits.
    let took = world.clock.monotonic() - began;
    assert!(took <= Duration::from_secs(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_that_waited_for_the_store_are_sent_when_it_answers() {
    for fault in [Fault::SettlesNothing, Fault::ClaimsNothing, Fault::Away] {
        let mut drowsy = settings();
        drowsy.dispatch.poll = Duration::from_secs(3_600);
        drowsy.dispatch.lane.concurrency = 1;
        let (world, store) = on_a_faulty_store(drowsy);
        // More than fit into the lane: most of them are claimed.
        world.sms.always(Act::Slow(Duration::from_millis(50)));
        let mut ids = Vec::new();
        for number in 0..40 {
            ids.push(world.sent(sms(&format!("message {number}"))).await);
        }
        store.set(fault);
        tokio::time::sleep(Duration::from_secs(5)).await;
        store.set(Fault::None);
        let began = world.clock.monotonic();
        for id in ids {
            world.until(id, Status::Dispatched).await;
        }
        let took = world.clock.monotonic() - began;
        assert!(took <= Duration::from_secs(4), "{took:?} after {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_settlement_delays_no_other() {
    let mut wide = settings();
    wide.dispatch.lane.concurrency = 32;
    wide.dispatch.lane.breaker.error_threshold = 1_000;
    let (world, store) = on_a_faulty_store(wide);
    store.set(Fault::RefusesErrors);
    let mut ids = Vec::new();
    for number in 0..20 {
        if number == 3 || number == 11 || number == 12 {
            world.sms.play([error()]);
        }
        ids.push(world.sent(sms(&format!("message {number}"))).await);
        while world.sms.calls().len() == number {
            tokio::task::yield_now().await;
        }
    }
    for (number, id) in ids.iter().enumerate() {
        if number != 3 && number != 11 && number != 12 {
            world.until(*id, Status::Dispatched).await;
        } else {
            assert_eq!(world.status(*id).await, Status::Pending);
        }
    }
    let recorded = |outcome: &str| {
        world.metric(&format!(
            "trunkline_dispatch_attempts_total{{provider=\"sms-mms\",channel=\"sms\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!([recorded("success"), recorded("error")], [17, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_sweep_does_not_stop_the_purge_and_is_repeated() {
    let mut hasty = settings();
    // Keys are purged at the start and every minute.
    hasty.idempotency_ttl = Duration::from_secs(90);
    hasty.deadlines.sms = Duration::from_secs(10);
    hasty.dispatch.lane.breaker.error_threshold = 1;
    let (world, store) = on_a_faulty_store(hasty.clone());
    let request = keyed("k", sms("hello"));
    let old = world.sent(request.clone()).await;
    world.until(old, Status::Dispatched).await;
    let key = request.1.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(store.find_repeated(&key).await.unwrap().is_some());
    world.engine.drain(Duration::from_secs(10)).await;

    store.set(Fault::SweepsNothing);
    let next = World::on(hasty, store.clone(), Arc::clone(&world.clock), &[Channel::Sms]);
    // The breaker is open, so only the sweep can end it.
    next.sms.always(error());
    let late = next.sent(sms("late")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(store.find_repeated(&key).await, Ok(None));
    assert_eq!(next.status(late).await, Status::Pending);
    store.set(Fault::None);
    let began = next.clock.monotonic();
    next.until(late, Status::Failed).await;
    let took = next.clock.monotonic() - began;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    let failure = next.detail(late).await.message.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::Deadline);
}

/// A wall clock that a test sets. The monotonic clock goes on.
#[derive(Debug)]
struct WallClock {
    driven: DrivenClock,
    wall: std::sync::Mutex<Timestamp>,
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        *self.wall.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.driven.monotonic()
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_unique_while_the_clock_stands_still_and_when_it_is_set_back() {
    let start = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
    let clock = Arc::new(WallClock {
        driven: DrivenClock::new(),
        wall: std::sync::Mutex::new(start),
    });
    let store_clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(store_clock));
    let world = World::on(settings(), store, clock.clone(), &[Channel::Sms]);
    let mut ids: BTreeSet<MessageId> = BTreeSet::new();
    for hour in [10, 10, 9, 11] {
        *clock.wall.lock().unwrap() = Timestamp::parse(&format!("2026-11-21T{hour:02}:00:00Z")).unwrap();
        for number in 0..100 {
            let id = world.sent(sms(&format!("message {number}"))).await;
            assert!(ids.insert(id), "{id} twice");
        }
    }
    for id in &ids {
        world.until(*id, Status::Dispatched).await;
    }
    assert_eq!(world.sms.calls().len(), ids.len());
    let mut sequences = Vec::new();
    for id in &ids {
        sequences.push(world.detail(*id).await.message.thread.unwrap().1);
    }
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=ids.len() as u64));
}
