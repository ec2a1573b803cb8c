//! The breakers of lanes. On driven time.

mod world;

use std::time::Duration;

use domain::Status;
use trunkline_engine::{BreakerState, HoldReason};

use world::{Act, World, email, error, rate_limited, settings, sms, success, tick};

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_at_the_threshold_and_recovers_with_probes() {
    let world = World::new(settings()).await;
    world.sms.always(error());
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    let breaker = async || world.sms_report().await.breaker;
    while breaker().await.state == BreakerState::Closed {
        tick().await;
    }
    let opened = world.clock.monotonic();
    // Calls that were under way may still end; none begins.
    let calls = world.sms.calls().len();
    assert!((5..=5 + 8).contains(&calls), "{calls} calls");
    assert_eq!(
        world.metric("trunkline_breaker_state{provider=\"sms-mms\",state=\"open\"}"),
        1
    );
    let detail = world.detail(ids[19]).await;
    let (_, hold) = world.engine.hold(&detail);
    let hold = hold.unwrap();
    assert_eq!(hold.reason, HoldReason::BreakerOpen);
    assert!(hold.until.is_some());

    world.sms.always(success());
    while breaker().await.state == BreakerState::Open {
        assert_eq!(world.sms.calls().len(), calls, "a call while open");
        tick().await;
    }
    let cooled = world.clock.monotonic() - opened;
    assert!(
        cooled >= Duration::from_secs(29) && cooled <= Duration::from_millis(33_300),
        "{cooled:?}"
    );
    for id in &ids {
        world.until(*id, Status::Dispatched).await;
    }
    assert_eq!(breaker().await.state, BreakerState::Closed);
    let moved = |from: &str, to: &str| {
        world.metric(&format!(
            "trunkline_breaker_transitions_total{{provider=\"sms-mms\",from=\"{from}\",to=\"{to}\"}}"
        ))
    };
    assert_eq!(
        [
            moved("closed", "open"),
            moved("open", "half_open"),
            moved("half_open", "closed")
        ],
        [1, 1, 1]
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_open_breaker_uses_up_no_attempt_and_loses_no_message() {
    let mut world_settings = settings();
    world_settings.dispatch.attempts_max = 2;
    let world = World::new(world_settings).await;
    world.sms.always(error());
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    while world.sms_report().await.breaker.state == BreakerState::Closed {
        tick().await;
    }
    let waiting = world.sent(sms("comes while it is open")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(world.detail(waiting).await.attempts.is_empty());
    assert_eq!(world.status(waiting).await, Status::Pending);
    world.sms.always(success());
    ids.push(waiting);
    for id in ids {
        world.until(id, Status::Dispatched).await;
    }
}

#[tokio::test(start_paused = true)]
async fn half_open_probes_are_bounded_and_do_not_count_against_messages() {
    let mut world_settings = settings();
    world_settings.dispatch.lane.breaker.error_threshold = 1;
    world_settings.dispatch.attempts_max = 2;
    let world = World::new(world_settings).await;
    world.sms.always(error());
    let id = world.sent(sms("hello")).await;
    // Each round of probes fails and opens the breaker again. The message has more attempts than its budget.
    while world.detail(id).await.attempts.len() < 6 {
        assert_eq!(world.status(id).await, Status::Pending);
        tick().await;
    }
    world.sms.always(success());
    world.until(id, Status::Dispatched).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_does_not_delay_the_other() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Hang);
    for n in 0..100 {
        world.sent(sms(&format!("message {n}"))).await;
    }
    for n in 0..50 {
        let began = world.clock.monotonic();
        let id = world.sent(email(&format!("message {n}"))).await;
        world.until(id, Status::Dispatched).await;
        let took = world.clock.monotonic() - began;
        assert!(took <= Duration::from_millis(20), "{took:?}");
    }
    while world.sms_report().await.breaker.state != BreakerState::Open {
        tick().await;
    }
    let other = &world.engine.providers().await.unwrap()[0];
    assert_eq!(
        (other.breaker.state, other.breaker.consecutive_failures),
        (BreakerState::Closed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn alternating_answers_do_not_make_the_breaker_flap() {
    let world = World::new(settings()).await;
    let answers = (0..100).map(|n| if n % 2 == 0 { error() } else { success() });
    world.sms.play(answers);
    for n in 0..50 {
        let id = world.sent(sms(&format!("message {n}"))).await;
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!(world.sms_report().await.breaker.last_transition_at, None);
}

#[tokio::test(start_paused = true)]
async fn rate_limits_never_open_the_breaker() {
    let world = World::new(settings()).await;
    world.sms.play(vec![rate_limited(Duration::from_secs(1)); 10]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(world.detail(id).await.attempts.len(), 11);
    assert_eq!(world.sms_report().await.breaker.last_transition_at, None);
}
