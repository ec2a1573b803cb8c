//! Accepted messages while providers misbehave. On driven time.

mod world;

use std::{sync::Arc, time::Duration};

use domain::{Channel, Clock, Entropy, FailureReason, Outcome, Status};
use providers::{
    Routes,
    simulator::{Faults, SimulatorSettings, Simulators, receipt_channel},
};
use store::{RedriveFilter, Redriven, Store};
use store_model::Memory;
use trunkline_engine::{BreakerState, Engine, HoldReason, Metrics, TokioTasks};

use world::{Act, DrivenClock, World, email, error, rate_limited, rejected, settings, sms, success, tick};

#[tokio::test(start_paused = true)]
async fn an_accepted_message_is_sent_once() {
    let world = World::new(settings()).await;
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    let detail = world.detail(id).await;
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!(detail.attempts[0].number, 1);
    assert_eq!(detail.attempts[0].outcome, Outcome::Success);
    assert_eq!(detail.waiting, None);
    assert_eq!(world.sms.calls().len(), 1);
    assert!(world.email.calls().is_empty());
    assert_eq!(
        world.metric(
            "trunkline_dispatch_attempts_total{provider=\"sms-mms\",channel=\"sms\",outcome=\"success\"}"
        ),
        1
    );
    assert_eq!(
        world.metric("trunkline_conversations_created_total{channel=\"sms\"}"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn all_messages_are_sent_by_a_bounded_number_of_workers() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Slow(Duration::from_millis(100)));
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    for id in ids {
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!(world.sms.calls().len(), 300, "no message was sent twice");
    assert_eq!(world.sms.in_flight_max(), 8);
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_and_every_attempt_is_recorded() {
    let world = World::new(settings()).await;
    world.sms.play([error(), Act::Hang, error()]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(
        world.outcomes(id).await,
        [Outcome::Error, Outcome::Timeout, Outcome::Error, Outcome::Success]
    );
    let attempts = world.detail(id).await.attempts;
    assert_eq!(
        attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(
        attempts[0].error_code.as_ref().unwrap().as_str(),
        "provider_error"
    );
    assert_eq!(
        attempts[1].latency,
        Duration::from_secs(5),
        "a hanging call ends at its timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_message_shows_the_reason_and_the_time() {
    let world = World::new(settings()).await;
    world.sms.play([rate_limited(Duration::from_secs(40))]);
    let id = world.sent(sms("hello")).await;
    while world.detail(id).await.attempts.is_empty() {
        tick().await;
    }
    let detail = world.detail(id).await;
    let (next, hold) = world.engine.hold(&detail);
    let hold = hold.unwrap();
    assert_eq!((hold.reason, hold.until), (HoldReason::RateLimited, next));
    assert!(next.unwrap() >= world.clock.now());
    world.until(id, Status::Dispatched).await;
    assert_eq!(world.engine.hold(&world.detail(id).await), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_not_called_before_its_retry_after() {
    let world = World::new(settings()).await;
    let hints = [3, 1, 20, 7];
    world
        .sms
        .play(hints.map(|seconds| rate_limited(Duration::from_secs(seconds))));
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    let times: Vec<Duration> = world.sms.calls().iter().map(|(_, _, at)| *at).collect();
    for (gap, hint) in times.windows(2).map(|pair| pair[1] - pair[0]).zip(hints) {
        assert!(
            gap >= Duration::from_secs(hint),
            "{gap:?} after a hint of {hint} s"
        );
    }
    assert_eq!(world.detail(id).await.attempts.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_message_becomes_a_dead_letter_and_can_be_redriven() {
    let mut impatient = settings();
    impatient.dispatch.attempts_max = 3;
    impatient.dispatch.lane.breaker.error_threshold = 1_000;
    let world = World::new(impatient).await;
    world.sms.play([error(), error(), error()]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Failed).await;
    let failure = world.detail(id).await.message.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::Exhausted);
    assert_eq!(failure.error_code.unwrap().as_str(), "provider_error");
    assert_eq!(
        world.metric("trunkline_dead_letters_total{provider=\"sms-mms\",reason=\"exhausted\"}"),
        1
    );
    assert_eq!(world.engine.redrive(id).await, Ok(Redriven::Pending));
    world.until(id, Status::Dispatched).await;
    let numbers: Vec<u32> = world
        .detail(id)
        .await
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(world.engine.redrive(id).await, Ok(Redriven::NotFailed));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_final_and_does_not_open_the_breaker() {
    let world = World::new(settings()).await;
    world.sms.always(rejected());
    for n in 0..20 {
        let id = world.sent(sms(&format!("message {n}"))).await;
        world.until(id, Status::Failed).await;
        assert_eq!(
            world.detail(id).await.message.failure.unwrap().reason,
            FailureReason::Rejected
        );
        assert_eq!(world.detail(id).await.attempts.len(), 1);
    }
    assert_eq!(world.sms_report().await.breaker.state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn matching_dead_letters_are_redriven_in_batches() {
    let world = World::new(settings()).await;
    world.sms.always(rejected());
    world.email.always(rejected());
    let mut ids = Vec::new();
    for n in 0..600 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    let other = world.sent(email("stays")).await;
    for id in ids.iter().chain([&other]) {
        world.until(*id, Status::Failed).await;
    }
    world.sms.always(success());
    let filter = RedriveFilter {
        channel: Some(Channel::Sms),
        ..RedriveFilter::default()
    };
    tick().await;
    assert_eq!(world.engine.redrive_matching(&filter).await, Ok(600));
    for id in ids {
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!(world.status(other).await, Status::Failed);
}

/// A backlog fills only its share of the queue.
#[tokio::test(start_paused = true)]
async fn a_backlog_does_not_keep_new_messages_waiting() {
    const BACKLOG: usize = 400;
    let mut settings = settings();
    settings.dispatch.lane.concurrency = 4;
    let gone = World::new(settings.clone()).await;
    gone.sms.always(Act::Hang);
    for n in 0..BACKLOG {
        gone.sent(sms(&format!("backlog {n}"))).await;
    }
    gone.engine.drain(Duration::from_secs(20)).await;

    let (store, clock) = (Arc::clone(&gone.store), Arc::clone(&gone.clock));
    let world = World::on(settings, store, clock, &[Channel::Sms, Channel::Email]);
    world.sms.always(Act::Slow(Duration::from_secs(1)));
    while world.sms.calls().len() < 20 {
        tick().await;
    }
    let new = world.sent(sms("new")).await;
    world.until(new, Status::Dispatched).await;
    // Only the entries that were queued before it were sent first: at most one full queue.
    assert!(world.sms.calls().len() < 60, "{} calls", world.sms.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_three_times_is_poison_and_others_are_sent() {
    let world = World::new(settings()).await;
    world.sms.play([Act::Panic, Act::Panic, Act::Panic]);
    let poison = world.sent(sms("poison")).await;
    world.until(poison, Status::Failed).await;
    let detail = world.detail(poison).await;
    assert_eq!(detail.message.failure.unwrap().reason, FailureReason::Poison);
    let codes: Vec<String> = detail
        .attempts
        .iter()
        .map(|attempt| attempt.error_code.as_ref().unwrap().as_str().to_owned())
        .collect();
    assert_eq!(codes, ["worker_panic"; 3]);
    for n in 0..100 {
        let id = world.sent(sms(&format!("message {n}"))).await;
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!(world.sms_report().await.breaker.last_transition_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_message_past_its_deadline_fails_also_while_the_breaker_is_open() {
    let mut hasty = settings();
    hasty.deadlines.sms = Duration::from_secs(20);
    let world = World::new(hasty).await;
    world.sms.always(error());
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    let began = world.clock.monotonic();
    for id in ids {
        world.until(id, Status::Failed).await;
        assert_eq!(
            world.detail(id).await.message.failure.unwrap().reason,
            FailureReason::Deadline
        );
    }
    let took = world.clock.monotonic() - began;
    assert!(
        took >= Duration::from_secs(19) && took <= Duration::from_secs(30),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn draining_settles_calls_and_gives_back_the_rest_untouched() {
    let world = World::new(settings()).await;
    world.sms.always(Act::Slow(Duration::from_secs(2)));
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(world.sent(sms(&format!("message {n}"))).await);
    }
    while world.sms.calls().len() < 8 {
        tick().await;
    }
    world.engine.drain(Duration::from_secs(10)).await;
    let mut dispatched = 0;
    for id in &ids {
        let detail = world.detail(*id).await;
        match detail.message.status {
            Status::Dispatched => dispatched += 1,
            status => {
                assert_eq!(status, Status::Pending);
                assert!(detail.attempts.is_empty(), "giving back makes no attempt");
                assert!(!detail.waiting.unwrap().leased, "nothing stays leased");
            }
        }
    }
    assert_eq!(dispatched, 8, "the calls under way are settled");

    // Another node sends the rest at once.
    let next = World::on(
        settings(),
        Arc::clone(&world.store),
        Arc::clone(&world.clock),
        &[Channel::Sms],
    );
    for id in ids {
        next.until(id, Status::Dispatched).await;
        assert_eq!(next.detail(id).await.attempts.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_provider_without_a_node_become_dead_letters() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let before = World::on(
        settings(),
        Arc::clone(&store),
        Arc::clone(&clock),
        &[Channel::Sms, Channel::Email],
    );
    before.sms.always(rate_limited(Duration::from_secs(60)));
    let id = before.sent(sms("hello")).await;
    while before.detail(id).await.attempts.is_empty() {
        tick().await;
    }
    before.engine.drain(Duration::from_secs(10)).await;

    let after = World::on(settings(), store, clock, &[Channel::Email]);
    after.until(id, Status::Failed).await;
    let failure = after.detail(id).await.message.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::NoProvider);
    assert_eq!(failure.error_code.unwrap().as_str(), "provider_rate_limited");
    assert!(after.sms.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_shares_of_outcomes_are_as_configured() {
    const MESSAGES: u64 = 2_000;
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let faults = Faults {
        error_pct: 30,
        ratelimit_pct: 10,
        ..Faults::default()
    };
    let simulated = SimulatorSettings {
        config: faults.into(),
        ..SimulatorSettings::default()
    };
    // Five points are more than four standard deviations of so many attempts, so nearly every seed passes.
    let entropy = Entropy::from_seed(1);
    let (receipts, _) = receipt_channel(&clock);
    let simulators = Simulators::new(simulated, &entropy, Arc::clone(&clock), &receipts).unwrap();
    let routes = Routes::new(simulators.providers()).unwrap();
    let mut patient = settings();
    patient.dispatch.lane.breaker.error_threshold = 1_000;
    let metrics = Arc::new(Metrics::new());
    let engine = Engine::start(
        patient,
        Arc::clone(&store),
        routes,
        clock,
        &entropy,
        metrics,
        Arc::new(TokioTasks),
    );
    for n in 0..MESSAGES {
        let (message, request) = sms(&format!("message {n}"));
        engine.send(message, request).await.result.unwrap();
    }
    // A few may be exhausted. The test only needs that none is pending.
    while store
        .queue_depths()
        .await
        .unwrap()
        .iter()
        .any(|depth| depth.waiting + depth.leased > 0)
    {
        tick().await;
    }
    let counts = engine.providers().await.unwrap()[1].counts;
    let all = counts.success + counts.error + counts.rate_limited + counts.timeout + counts.unknown;
    assert!(all >= MESSAGES, "{all}");
    for (count, expected) in [
        (counts.error, 30.0),
        (counts.rate_limited, 10.0),
        (counts.success, 60.0),
    ] {
        let share = 100.0 * count as f64 / all as f64;
        assert!(
            (share - expected).abs() <= 5.0,
            "{share} % instead of {expected} %"
        );
    }
}
