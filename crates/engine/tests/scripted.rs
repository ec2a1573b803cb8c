//! Scripted recipients: what happens to a message follows from its recipient and its completed attempts alone. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

use std::time::Duration;

use domain::{Channel, Entropy, FailureReason, MessageId, Outcome, Script, Status};
use serde_json::Value;
use store::{Accept, Kind, RedriveFilter};
use trunkline_engine::{BreakerState, LimitSettings, SendError};

use world::{
    World, email, message, rejected,
    scripts::{
        BOTH, CALL_TIMEOUT, ERROR, PUSHED_BACK, REJECTED, SENDER, SUCCESS, TIMEOUT, email_to, recorded,
        scripted_world, settle_down, text_to, to_row, world_with,
    },
    settings, sms,
};

#[tokio::test(start_paused = true)]
async fn every_row_plays_its_steps_on_every_channel() {
    let world = scripted_world();
    for (number, word, expected, status) in [
        (50, "rejected", &[REJECTED][..], Status::Failed),
        (51, "error-once", &[ERROR, SUCCESS], Status::Dispatched),
        (52, "error-twice", &[ERROR, ERROR, SUCCESS], Status::Dispatched),
        (53, "error-always", &[ERROR; 12], Status::Failed),
        (
            54,
            "rate-limited-once",
            &[PUSHED_BACK, SUCCESS],
            Status::Dispatched,
        ),
        (55, "timeout-once", &[TIMEOUT, SUCCESS], Status::Dispatched),
        (56, "timeout-taken-once", &[TIMEOUT, SUCCESS], Status::Dispatched),
        (57, "delivered", &[SUCCESS], Status::Delivered),
        (58, "undelivered", &[SUCCESS], Status::Undelivered),
        (59, "reply-yes", &[SUCCESS], Status::Delivered),
        (60, "reply-stop", &[SUCCESS], Status::Delivered),
        (61, "slow", &[SUCCESS], Status::Dispatched),
    ] {
        for send in to_row(number, word) {
            let id = world.sent(send).await;
            world.until(id, status).await;
            let detail = world.detail(id).await;
            assert_eq!(recorded(&detail.attempts), expected, "{word}");
            let numbers: Vec<u32> = detail.attempts.iter().map(|attempt| attempt.number).collect();
            assert_eq!(numbers, (1..=expected.len() as u32).collect::<Vec<_>>());
            let providers = detail.attempts.iter().map(|attempt| attempt.provider.as_str());
            assert!(providers.into_iter().all(|provider| provider == "scripted"));
            assert_eq!(detail.message.provider, Some(Script::provider()));
            let reason = detail.message.failure.map(|failure| failure.reason);
            let expected_reason = match word {
                "rejected" => Some(FailureReason::Rejected),
                "error-always" => Some(FailureReason::Exhausted),
                _ => None,
            };
            assert_eq!(reason, expected_reason, "{word}");
        }
    }
    assert!(world.sms.calls().is_empty() && world.email.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn responses_take_the_time_that_the_table_says() {
    let world = scripted_world();
    for (send, latencies) in [
        (text_to(55), &[CALL_TIMEOUT, Duration::ZERO][..]),
        (text_to(56), &[CALL_TIMEOUT, Duration::ZERO]),
        (text_to(61), &[Duration::from_secs(3)]),
        (text_to(51), &[Duration::ZERO, Duration::ZERO]),
    ] {
        let id = world.sent(send).await;
        world.until(id, Status::Dispatched).await;
        let attempts = world.detail(id).await.attempts;
        let taken: Vec<Duration> = attempts.iter().map(|attempt| attempt.latency).collect();
        assert_eq!(taken, latencies);
    }
    let id = world.sent(email_to("rate-limited-once")).await;
    world.until(id, Status::Dispatched).await;
    let attempts = world.detail(id).await.attempts;
    let between = attempts[1].occurred_at.saturating_since(attempts[0].occurred_at);
    assert!(between >= Duration::from_secs(1), "{between:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_crash_cut_off_does_not_advance_the_script() {
    let world = scripted_world();
    let mut ids = Vec::new();
    let entropy = Entropy::from_seed(3);
    for (message, _) in to_row(52, "error-twice") {
        let now = world.clock.now();
        ids.push(MessageId::mint(now, &entropy));
        // Leased by a node that is gone.
        let lease = Some(Duration::from_millis(100));
        let accept = Accept {
            id: ids[ids.len() - 1],
            message,
            processed_at: now,
            provider: Script::provider(),
            kind: Kind::Send {
                request: None,
                deadline: Duration::from_secs(3_600),
                lease,
            },
        };
        world.store.accept(&[accept]).await.unwrap();
    }
    for id in ids {
        world.until(id, Status::Dispatched).await;
        let attempts = world.detail(id).await.attempts;
        let unknown = (Outcome::Unknown, Some("lease_expired"));
        assert_eq!(recorded(&attempts), [unknown, ERROR, ERROR, SUCCESS]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_in_the_ledger_is_explained_by_a_timeout() {
    let ledger = tempfile::NamedTempFile::new().unwrap();
    let world = world_with(settings(), BOTH, Some(ledger.path()));
    for (send, expected) in [
        (text_to(56), &[("timeout", true), ("success", true)][..]),
        (text_to(55), &[("timeout", false), ("success", true)]),
        (email_to("error-once"), &[("error", false), ("success", true)]),
        (email_to("rejected"), &[("rejected", false)]),
    ] {
        let id = world.sent(send).await;
        settle_down().await;
        let text = std::fs::read_to_string(ledger.path()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let calls = lines.iter().filter(|line| line["message_id"] == id.to_string());
        let calls: Vec<(&str, bool)> = calls
            .map(|line| {
                assert_eq!(line["provider"], "scripted");
                (
                    line["outcome"].as_str().unwrap(),
                    line["taken"].as_bool().unwrap(),
                )
            })
            .collect();
        assert_eq!(calls, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn no_sender_limit_is_charged() {
    let mut strict = settings();
    strict.limits = LimitSettings::per_minute(1_000_000, 1, 1_000_000);
    let world = world_with(strict, BOTH, None);
    for _ in 0..5 {
        let outcome = world.send_outcome(text_to(57)).await;
        assert!(outcome.result.is_ok() && outcome.sender.is_none(), "{outcome:?}");
    }
    // The sender still has its one ordinary message.
    world.sent(sms("hello")).await;
    assert!(matches!(
        world.send(sms("hello")).await,
        Err(SendError::RateLimited(_))
    ));
    world.sent(text_to(57)).await;
}

#[tokio::test(start_paused = true)]
async fn scripts_need_no_provider_of_their_channel() {
    let world = world_with(settings(), &[Channel::Email], None);
    let id = world.sent(text_to(51)).await;
    world.until(id, Status::Dispatched).await;
    assert_eq!(world.send(sms("hello")).await, Err(SendError::NoProvider));
}

#[tokio::test(start_paused = true)]
async fn without_the_scripted_provider_they_are_ordinary_recipients() {
    let world = World::new(settings()).await;
    for send in [text_to(50), email_to("error-always")] {
        let id = world.sent(send).await;
        world.until(id, Status::Dispatched).await;
    }
    assert_eq!((world.sms.calls().len(), world.email.calls().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_redrive_goes_on_with_the_script_at_its_provider() {
    let world = scripted_world();
    let ids = [
        world.sent(text_to(50)).await,
        world.sent(email_to("rejected")).await,
    ];
    for id in ids {
        world.until(id, Status::Failed).await;
    }
    world.sms.always(rejected());
    let ordinary = world.sent(sms("hello")).await;
    world.until(ordinary, Status::Failed).await;
    world.engine.redrive(ids[0]).await.unwrap();
    world.engine.redrive(ordinary).await.unwrap();
    settle_down().await;
    assert_eq!(
        world.engine.redrive_matching(&RedriveFilter::default()).await,
        Ok(3)
    );
    settle_down().await;
    for (id, attempts) in ids.into_iter().zip([3, 2]) {
        let detail = world.detail(id).await;
        assert_eq!(recorded(&detail.attempts), vec![REJECTED; attempts]);
        assert_eq!(detail.message.provider, Some(Script::provider()));
    }
    assert_eq!((world.sms.calls().len(), world.email.calls().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_on_purpose_open_no_breaker_and_delay_no_other_message() {
    let world = scripted_world();
    let mut failing = Vec::new();
    for number in 0..50 {
        let to = format!("+1{:03}5550153", 200 + number);
        failing.push(world.sent(message(Channel::Sms, SENDER, &to, "hello")).await);
    }
    let began = world.clock.monotonic();
    let ordinary = [world.sent(sms("hello")).await, world.sent(email("hello")).await];
    for id in ordinary {
        world.until(id, Status::Dispatched).await;
    }
    assert!(world.clock.monotonic() - began < Duration::from_secs(1));
    for id in failing {
        world.until(id, Status::Failed).await;
        assert_eq!(world.outcomes(id).await, [Outcome::Error; 12]);
    }
    let reports = world.engine.providers().await.unwrap();
    let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["email", "scripted", "sms-mms"]);
    for report in &reports {
        assert_eq!(report.breaker.state, BreakerState::Closed);
        assert_eq!(report.breaker.last_transition_at, None);
        assert_eq!(report.breaker.consecutive_failures, 0);
    }
    assert_eq!((reports[1].counts.error, reports[1].queue.dead), (600, 50));
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_do_not_hold_up_others() {
    let world = scripted_world();
    let mut hanging = Vec::new();
    for number in 0..200 {
        let to = format!("+1{:03}5550155", 200 + number);
        hanging.push(world.sent(message(Channel::Sms, SENDER, &to, "hello")).await);
    }
    let began = world.clock.monotonic();
    let quick = world.sent(email_to("delivered")).await;
    world.until(quick, Status::Dispatched).await;
    assert!(world.clock.monotonic() - began < Duration::from_secs(1));
    for id in hanging {
        world.until(id, Status::Dispatched).await;
        assert_eq!(recorded(&world.detail(id).await.attempts), [TIMEOUT, SUCCESS]);
    }
}
