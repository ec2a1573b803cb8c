//! Nothing waits for the next poll: with a poll of an hour, everything that may happen still happens at once. And the times that
//! are shown are the times of the calls. On driven time.

mod world;

use std::time::Duration;

use domain::{ErrorCode, MessageId, Status, Timestamp};
use store::RedriveFilter;
use trunkline_engine::{BreakerState, EngineSettings, HoldReason};

use world::{Act, World, error, rate_limited, settings, sms, success, tick};

/// How long a message may take that waits for nothing but calls and transactions.
const PROMPT: Duration = Duration::from_secs(1);

/// Lanes claim once an hour, unless they are woken.
fn drowsy() -> EngineSettings {
    let mut drowsy = settings();
    drowsy.dispatch.poll = Duration::from_secs(3_600);
    drowsy
}

async fn sent(world: &World, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(world.sent(sms(&format!("message {number}"))).await);
    }
    ids
}

async fn dispatched_promptly(world: &World, ids: &[MessageId]) {
    let began = world.clock.monotonic();
    for id in ids {
        world.until(*id, Status::Dispatched).await;
    }
    let took = world.clock.monotonic() - began;
    assert!(took <= PROMPT, "it took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn redriven_messages_are_sent_at_once() {
    let mut hasty = drowsy();
    hasty.dispatch.attempts_max = 1;
    let world = World::new(hasty).await;
    world.sms.play((0..4).map(|_| error()));
    let ids = sent(&world, 4).await;
    for id in &ids {
        world.until(*id, Status::Failed).await;
    }
    world.engine.redrive(ids[0]).await.unwrap();
    dispatched_promptly(&world, &ids[..1]).await;
    assert_eq!(
        world.engine.redrive_matching(&RedriveFilter::default()).await,
        Ok(3)
    );
    dispatched_promptly(&world, &ids[1..]).await;
}

#[tokio::test(start_paused = true)]
async fn messages_accepted_without_room_in_the_lane_are_sent_when_there_is_room() {
    let mut narrow = drowsy();
    narrow.dispatch.lane.concurrency = 1;
    let world = World::new(narrow).await;
    world.sms.always(Act::Slow(Duration::from_millis(10)));
    let ids = sent(&world, 40).await;
    dispatched_promptly(&world, &ids).await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_waited_for_the_breaker_are_sent_when_it_closes() {
    let mut fragile = drowsy();
    fragile.dispatch.lane.breaker.error_threshold = 1;
    let world = World::new(fragile).await;
    world.sms.play([error()]);
    let mut ids = sent(&world, 1).await;
    while world.sms_report().await.breaker.state == BreakerState::Closed {
        tick().await;
    }
    ids.extend(sent(&world, 40).await);
    while world.sms_report().await.breaker.state != BreakerState::Closed {
        tick().await;
    }
    dispatched_promptly(&world, &ids).await;
}

/// An instant on the monotonic clock.
fn monotonic(world: &World, instant: Timestamp) -> Duration {
    world.clock.monotonic() + instant.saturating_since(world.clock.now())
}

/// Waits for the next call, and checks that it comes at the time that was shown.
async fn called_at(world: &World, before: usize, shown: Duration) {
    let late = Duration::from_millis(100);
    while world.sms.calls().len() == before {
        assert!(world.clock.monotonic() <= shown + late, "no call at {shown:?}");
        tick().await;
    }
    let (_, _, at) = world.sms.calls()[before];
    // The time shown is cut to microseconds.
    let early = Duration::from_micros(1);
    assert!(
        at + early >= shown && at <= shown + late,
        "{at:?} instead of {shown:?}"
    );
}

fn attentive() -> EngineSettings {
    let mut attentive = settings();
    attentive.dispatch.poll = Duration::from_millis(10);
    attentive.dispatch.lane.breaker.error_threshold = 1;
    attentive
}

#[tokio::test(start_paused = true)]
async fn a_held_message_is_sent_at_the_time_shown() {
    for (act, reason) in [
        (error(), HoldReason::Backoff(ErrorCode::of("provider_error"))),
        (rate_limited(Duration::from_secs(40)), HoldReason::RateLimited),
    ] {
        let mut patient = attentive();
        patient.dispatch.lane.breaker.error_threshold = 1_000;
        let world = World::new(patient).await;
        // The second delay is long enough to be seen.
        world.sms.play([act.clone(), act.clone(), act]);
        let id = world.sent(sms("hello")).await;
        for attempts in 1..=3 {
            while world.detail(id).await.attempts.len() < attempts {
                tick().await;
            }
            let detail = world.detail(id).await;
            let (next, hold) = world.engine.hold(&detail);
            let Some(hold) = hold else {
                // The delay is over already.
                continue;
            };
            assert_eq!((&hold.reason, hold.until), (&reason, next));
            let shown = monotonic(&world, next.unwrap());
            called_at(&world, attempts, shown).await;
        }
        world.until(id, Status::Dispatched).await;
        assert_eq!(world.engine.hold(&world.detail(id).await), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_the_breaker_shows_when_it_is_half_open() {
    let world = World::new(attentive()).await;
    world.sms.play([error()]);
    sent(&world, 1).await;
    while world.sms_report().await.breaker.state == BreakerState::Closed {
        tick().await;
    }
    let waiting = world.sent(sms("comes while it is open")).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    let (next, hold) = world.engine.hold(&world.detail(waiting).await);
    let hold = hold.unwrap();
    assert_eq!((hold.reason, hold.until), (HoldReason::BreakerOpen, next));
    let shown = monotonic(&world, next.unwrap());
    called_at(&world, 1, shown).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_two_reasons_shows_the_later_time() {
    let world = World::new(attentive()).await;
    world.sms.play([rate_limited(Duration::from_secs(300)), error()]);
    let asked = world.sent(sms("asked to wait")).await;
    while world.detail(asked).await.attempts.is_empty() {
        tick().await;
    }
    sent(&world, 1).await;
    while world.sms_report().await.breaker.state == BreakerState::Closed {
        tick().await;
    }
    let (next, hold) = world.engine.hold(&world.detail(asked).await);
    let hold = hold.unwrap();
    assert_eq!(hold.reason, HoldReason::BreakerOpen);
    assert!(hold.until < next);
    let shown = monotonic(&world, next.unwrap());
    while world.detail(asked).await.attempts.len() == 1 {
        assert!(world.clock.monotonic() <= shown + PROMPT, "no call at {shown:?}");
        tick().await;
    }
    assert!(world.clock.monotonic() >= shown);
    world.sms.always(success());
    world.until(asked, Status::Dispatched).await;
}
