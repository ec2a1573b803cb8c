//! Two providers on one channel: when a message moves from one to the other, and when it stays. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

use std::{sync::Arc, time::Duration};

use domain::{Channel, Clock, FailureReason, MessageId, Status};
use providers::RouteSettings;
use store::{RedriveFilter, Store};
use store_model::Memory;
use trunkline_engine::{BreakerState, EngineSettings};

use world::{Act, DrivenClock, World, error, rate_limited, rejected, settings, sms, success, tick};

/// All SMS go to `sms-mms` first, then to `backup`.
fn route(failover_after: Option<u32>) -> Vec<RouteSettings> {
    vec![RouteSettings {
        channel: Channel::Sms,
        from: None,
        to: None,
        providers: vec!["sms-mms".parse().unwrap(), "backup".parse().unwrap()],
        failover_after,
    }]
}

/// Breakers that stay closed.
fn patient() -> EngineSettings {
    let mut patient = settings();
    patient.dispatch.lane.breaker.error_threshold = 1_000;
    patient
}

/// The providers of a message's attempts.
async fn asked(world: &World, id: MessageId) -> Vec<String> {
    let attempts = world.detail(id).await.attempts;
    let providers = attempts.iter().map(|attempt| attempt.provider.to_string());
    providers.collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_provider_takes_over_after_attempts_that_were_certainly_not_taken() {
    for second in [error(), rate_limited(Duration::from_secs(600))] {
        let world = World::routed(patient(), route(Some(2))).await;
        world.sms.play([error(), second]);
        let began = world.clock.monotonic();
        let id = world.sent(sms("hello")).await;
        world.until(id, Status::Dispatched).await;
        assert_eq!(asked(&world, id).await, ["sms-mms", "sms-mms", "backup"]);
        let detail = world.detail(id).await;
        assert_eq!(detail.message.provider.unwrap().as_str(), "backup");
        let took = world.clock.monotonic() - began;
        // The Retry-After of the provider that is left is not waited for.
        assert!(took <= Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rerouted_message_is_sent_at_once() {
    let mut drowsy = patient();
    drowsy.dispatch.poll = Duration::from_secs(3_600);
    let world = World::routed(drowsy, route(Some(1))).await;
    world.sms.always(error());
    let began = world.clock.monotonic();
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(asked(&world, id).await, ["sms-mms", "backup"]);
    let took = world.clock.monotonic() - began;
    assert!(took <= Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_provider_may_have_stays_with_it() {
    for unsure in [Act::Hang, Act::Panic] {
        let world = World::routed(patient(), route(Some(1))).await;
        world.sms.play([unsure, error(), error(), error()]);
        let id = world.sent(sms("hello")).await;
        world.until(id, Status::Dispatched).await;
        assert_eq!(asked(&world, id).await, ["sms-mms"; 5]);
        assert!(world.backup.calls().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn without_failover_a_message_stays_and_a_rejection_is_final() {
    let world = World::routed(patient(), route(None)).await;
    world.sms.play([error(), error(), error()]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(asked(&world, id).await, ["sms-mms"; 4]);

    let world = World::routed(patient(), route(Some(1))).await;
    world.sms.play([rejected()]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Failed).await;
    assert_eq!(asked(&world, id).await, ["sms-mms"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_provider_keeps_the_message_and_the_budget_goes_on() {
    let mut strict = patient();
    strict.dispatch.attempts_max = 5;
    let world = World::routed(strict, route(Some(2))).await;
    world.sms.always(error());
    world.backup.always(error());
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Failed).await;
    assert_eq!(
        asked(&world, id).await,
        ["sms-mms", "sms-mms", "backup", "backup", "backup"]
    );
    let failure = world.detail(id).await.message.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn each_breaker_sees_the_calls_of_its_own_provider_only() {
    let mut fragile = settings();
    fragile.dispatch.lane.breaker.error_threshold = 3;
    let world = World::routed(fragile, route(Some(1))).await;
    world.sms.always(error());
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(world.sent(sms(&format!("message {number}"))).await);
    }
    for id in &ids {
        world.until(*id, Status::Dispatched).await;
    }
    let reports = world.engine.providers().await.unwrap();
    let states: Vec<_> = reports.iter().map(|report| report.breaker.state).collect();
    assert_eq!(reports[0].name.as_str(), "backup");
    assert_eq!(states, [BreakerState::Closed, BreakerState::Open]);

    // New messages go to the first provider again, and wait for its breaker.
    world.sms.always(success());
    let id = world.sent(sms("later")).await;
    while world.detail(id).await.attempts.is_empty() {
        tick().await;
    }
    assert_eq!(asked(&world, id).await, ["sms-mms"]);
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_follows_its_route() {
    for from in [None, "*".parse().ok()] {
        let mut routes = route(None);
        routes[0].providers.remove(0);
        routes[0].from = from;
        let world = World::routed(patient(), routes).await;
        world.backup.play([rejected()]);
        let id = world.sent(sms("hello")).await;
        world.until(id, Status::Failed).await;
        world.engine.redrive(id).await.unwrap();
        world.until(id, Status::Dispatched).await;
        assert_eq!(asked(&world, id).await, ["backup", "backup"]);
    }
}

/// The routes may have changed since the message was accepted.
#[tokio::test(start_paused = true)]
async fn a_redriven_message_follows_a_route_that_depends_on_its_participants() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let on = |routes| {
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        World::with_routes(patient(), store, clock, &[Channel::Sms], routes)
    };
    let before = on(Vec::new());
    before.sms.always(rejected());
    let (one, many) = (before.sent(sms("one")).await, before.sent(sms("many")).await);
    for id in [one, many] {
        before.until(id, Status::Failed).await;
    }
    before.engine.drain(Duration::from_secs(10)).await;

    let mut routes = route(None);
    routes[0].providers.remove(0);
    routes[0].from = "+1201*".parse().ok();
    let now = on(routes);
    now.engine.redrive(one).await.unwrap();
    now.until(one, Status::Dispatched).await;
    assert_eq!(asked(&now, one).await, ["sms-mms", "backup"]);
    // A batch does not read the participants.
    now.engine
        .redrive_matching(&RedriveFilter::default())
        .await
        .unwrap();
    now.until(many, Status::Dispatched).await;
    assert_eq!(asked(&now, many).await, ["sms-mms", "sms-mms"]);
}
