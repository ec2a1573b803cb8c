//! Lanes have settings of their own, and are added and removed while the node runs. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

use std::{sync::Arc, time::Duration};

use domain::{Channel, Clock, FailureReason, MessageId, Outcome, Status};
use providers::Provider;
use store::Store;
use store_model::Memory;
use trunkline_engine::{AddProviderError, BreakerState, LaneSettings, UNSERVED_AFTER};

use world::{Act, DrivenClock, World, email, error, rate_limited, settings, sms, success, tick};

fn lane() -> LaneSettings {
    settings().dispatch.lane
}

async fn add_sms(world: &World) {
    world
        .engine
        .add_provider(world.sms.clone(), lane())
        .await
        .unwrap();
}

/// Two nodes on one store: the first served SMS and has stopped, the second serves email. One SMS waits.
async fn left_behind() -> (World, MessageId) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let on = |serving: &[Channel]| World::on(settings(), Arc::clone(&store), Arc::clone(&clock), serving);
    let before = on(&[Channel::Sms, Channel::Email]);
    before.sms.play([rate_limited(Duration::from_secs(1))]);
    let id = before.sent(sms("hello")).await;
    while before.detail(id).await.attempts.is_empty() {
        tick().await;
    }
    before.engine.drain(Duration::from_secs(10)).await;
    (on(&[Channel::Email]), id)
}

#[tokio::test(start_paused = true)]
async fn a_lane_follows_its_own_settings_and_the_others_follow_the_defaults() {
    let mut own = settings();
    let narrow = LaneSettings {
        concurrency: 2,
        call_timeout: Duration::from_secs(1),
        ..own.dispatch.lane
    };
    own.dispatch.lanes.insert("sms-mms".parse().unwrap(), narrow);
    own.dispatch.lane.breaker.error_threshold = 1;
    let world = World::new(own).await;
    world.sms.play([Act::Hang, Act::Hang, Act::Hang]);
    world.email.play([error()]);
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(world.sent(sms(&format!("message {number}"))).await);
    }
    let other = world.sent(email("hello")).await;
    for id in &ids {
        world.until(*id, Status::Dispatched).await;
    }
    assert_eq!(world.sms.in_flight_max(), 2);
    let first = world.detail(ids[0]).await.attempts.remove(0);
    assert_eq!(
        (first.outcome, first.latency),
        (Outcome::Timeout, Duration::from_secs(1))
    );
    let [one, two] = &world.engine.providers().await.unwrap()[..] else {
        panic!("two lanes");
    };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("email", "sms-mms"));
    assert_eq!(
        two.breaker.last_transition_at, None,
        "three failures do not open its breaker"
    );
    assert!(
        one.breaker.last_transition_at.is_some(),
        "one failure opens the breaker of email"
    );
    world.until(other, Status::Dispatched).await;
}

#[tokio::test(start_paused = true)]
async fn an_added_provider_sends_the_messages_that_wait_for_it() {
    let (world, id) = left_behind().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.status(id).await, Status::Pending);
    add_sms(&world).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(world.sms.calls().len(), 1);
    assert_eq!(world.engine.providers().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_added_provider_are_not_dead_lettered_as_unserved() {
    let (world, id) = left_behind().await;
    // Its breaker opens and stays open, so that the message is due all the time.
    let mut fragile = lane();
    fragile.breaker.error_threshold = 1;
    fragile.breaker.open = UNSERVED_AFTER * 4;
    fragile.breaker.max_open = UNSERVED_AFTER * 4;
    world.sms.always(error());
    world
        .engine
        .add_provider(world.sms.clone(), fragile)
        .await
        .unwrap();
    tokio::time::sleep(UNSERVED_AFTER * 2).await;
    assert_eq!(world.detail(id).await.attempts.len(), 2);
    assert_eq!(world.status(id).await, Status::Pending);

    // Once the provider is removed, no node serves it any more.
    assert!(world.engine.remove_provider(world.sms.name()).await);
    world.until(id, Status::Failed).await;
    let failure = world.detail(id).await.message.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::NoProvider);
}

#[tokio::test(start_paused = true)]
async fn a_removed_provider_settles_its_calls_and_gives_back_the_rest_untouched() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Slow(Duration::from_secs(2)));
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(world.sent(sms(&format!("message {number}"))).await);
    }
    while world.sms.calls().len() < 8 {
        tick().await;
    }
    assert!(world.engine.remove_provider(world.sms.name()).await);
    let calls = world.sms.calls().len();
    let mut dispatched = 0;
    for id in &ids {
        let detail = world.detail(*id).await;
        if detail.message.status == Status::Dispatched {
            dispatched += 1;
        } else {
            assert!(detail.attempts.is_empty(), "giving back makes no attempt");
            assert!(!detail.waiting.unwrap().leased, "nothing stays leased");
        }
    }
    assert_eq!(
        (calls, dispatched),
        (8, 8),
        "the calls under way are settled, and no other begins"
    );

    // Messages are still accepted, and the other lane goes on.
    ids.push(world.sent(sms("accepted without a lane")).await);
    let other = world.sent(email("hello")).await;
    world.until(other, Status::Dispatched).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.sms.calls().len(), calls);
    assert!(
        !world.engine.remove_provider(world.sms.name()).await,
        "it is removed once"
    );

    world.sms.always(success());
    add_sms(&world).await;
    for id in ids {
        world.until(id, Status::Dispatched).await;
        assert_eq!(world.detail(id).await.attempts.len(), 1);
    }
    assert_eq!(world.sms_report().await.breaker.state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_not_added_twice_nor_with_settings_out_of_range() {
    let world = World::new(settings()).await;
    let refused = async |lane| {
        world
            .engine
            .add_provider(world.sms.clone(), lane)
            .await
            .unwrap_err()
    };
    let name = world.sms.name().clone();
    assert_eq!(refused(lane()).await, AddProviderError::SameName(name.clone()));
    world.engine.remove_provider(&name).await;
    let mut slow = lane();
    slow.call_timeout = settings().dispatch.lease / 2 + Duration::from_millis(1);
    assert_eq!(
        refused(slow).await,
        AddProviderError::CallTimeout(settings().dispatch.lease)
    );
    let mut fragile = lane();
    fragile.breaker.error_threshold = 0;
    assert!(matches!(refused(fragile).await, AddProviderError::Breaker(_)));
    add_sms(&world).await;
}
