//! Scripted recipients: what happens to a message follows from its recipient and its completed attempts alone. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "the server's tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Attempt, Channel, Clock, Direction, Entropy, FailureReason, FollowUp, Message, MessageId, Outcome,
    PageRequest, Participant, ProviderName, ReceiptStatus, Script, Start, Status,
};
use providers::{Call, Provider, SendResult};
use resilience::Backoff;
use serde_json::Value;
use store::{Accept, FollowUps, Kind, MessageFilter, RedriveFilter, Store};
use store_model::Memory;
use trunkline_engine::{BreakerState, EngineSettings, LimitSettings, SendError};

use faulty_store::{Fault, FaultyStore};
use world::{DrivenClock, Send, World, email, message, rejected, settings, sms, tick};

const SENDER: &str = "+12016661234";
const SHOP: &str = "shop@example.com";
/// The call timeout of [`settings`].
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const BOTH: &[Channel] = &[Channel::Sms, Channel::Email];

fn world() -> World {
    world_with(settings(), BOTH, None)
}

fn world_with(settings: EngineSettings, serving: &[Channel], ledger: Option<&Path>) -> World {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    World::with_scripts(settings, store, clock, serving, ledger)
}

fn text_to(number: u32) -> Send {
    message(Channel::Sms, SENDER, &format!("+120255501{number:02}"), "hello")
}

fn email_to(word: &str) -> Send {
    message(Channel::Email, SHOP, &format!("{word}@example.test"), "hello")
}

/// A row of the table, in all its spellings.
fn to_row(number: u32, word: &str) -> [Send; 4] {
    let to = format!("+1 (999) 555-01{number:02}");
    [
        text_to(number),
        message(Channel::Mms, "ACME", &to, "hello"),
        email_to(word),
        email_to(&format!("{word}.case-7")),
    ]
}

fn recorded(attempts: &[Attempt]) -> Vec<(Outcome, Option<&str>)> {
    attempts
        .iter()
        .map(|attempt| {
            let code = attempt.error_code.as_ref().map(domain::ErrorCode::as_str);
            (attempt.outcome, code)
        })
        .collect()
}

const SUCCESS: (Outcome, Option<&str>) = (Outcome::Success, None);
const ERROR: (Outcome, Option<&str>) = (Outcome::Error, Some("provider_error"));
const REJECTED: (Outcome, Option<&str>) = (Outcome::Rejected, Some("provider_rejected"));
const TIMEOUT: (Outcome, Option<&str>) = (Outcome::Timeout, Some("timeout"));
const PUSHED_BACK: (Outcome, Option<&str>) = (Outcome::RateLimited, Some("provider_rate_limited"));

async fn replies(world: &World, to: MessageId) -> Vec<Message> {
    let (conversation_id, _) = world.detail(to).await.message.thread.unwrap();
    let filter = MessageFilter {
        direction: Some(Direction::Inbound),
        conversation_id: Some(conversation_id),
        ..MessageFilter::default()
    };
    let page = PageRequest::new(100, Start::First);
    world.store.messages(&filter, &page).await.unwrap().items
}

/// Lets everything happen that still can.
async fn settle_down() {
    tokio::time::sleep(Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn every_row_plays_its_steps_on_every_channel() {
    let world = world();
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
    let world = world();
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
async fn a_receipt_comes_a_second_after_the_message_was_taken() {
    let world = world();
    for (number, word, status, code) in [
        (57, "delivered", ReceiptStatus::Delivered, None),
        (
            58,
            "undelivered",
            ReceiptStatus::Undelivered,
            Some("scripted_undelivered"),
        ),
        (59, "reply-yes", ReceiptStatus::Delivered, None),
    ] {
        for send in to_row(number, word) {
            let id = world.sent(send).await;
            world.until(id, Status::Dispatched).await;
            settle_down().await;
            let detail = world.detail(id).await;
            let [receipt] = &detail.receipts[..] else {
                panic!("{:?}", detail.receipts)
            };
            assert_eq!(receipt.status, status);
            assert_eq!(receipt.error_code.as_ref().map(domain::ErrorCode::as_str), code);
            assert_eq!(receipt.provider, Some(Script::provider()));
            let attempt = &detail.attempts[0];
            assert!(attempt.provider_message_id.is_some());
            assert_eq!(receipt.provider_message_id, attempt.provider_message_id);
            // The node is idle, and wakes when the receipt is due.
            let after = receipt.received_at.saturating_since(attempt.occurred_at);
            let bounds = Duration::from_millis(1_000)..Duration::from_millis(1_100);
            assert!(bounds.contains(&after), "{after:?}");
        }
    }
    let (taken, silent) = (world.sent(text_to(51)).await, world.sent(text_to(61)).await);
    settle_down().await;
    for id in [taken, silent] {
        assert_eq!(world.detail(id).await.receipts, []);
        assert!(replies(&world, id).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_joins_the_conversation_on_the_same_channel() {
    let world = world();
    for (number, word, body) in [(59, "reply-yes", "YES"), (60, "reply-stop", "STOP")] {
        for send in to_row(number, word) {
            let before = send.0.content.clone();
            let id = world.sent(send).await;
            // Others of this conversation may be there already.
            let known = replies(&world, id).await.len();
            let began = world.clock.monotonic();
            while replies(&world, id).await.len() == known {
                tick().await;
            }
            let waited = world.clock.monotonic() - began;
            let bounds = Duration::from_millis(900)..Duration::from_millis(1_200);
            assert!(bounds.contains(&waited), "{waited:?}");
            settle_down().await;
            let replies = replies(&world, id).await;
            assert_eq!(replies.len(), known + 1, "one reply");
            let reply = &replies[0].content;
            assert_eq!(reply.channel, before.channel);
            assert_eq!((&reply.from, &reply.to), (&before.to, &before.from));
            assert_eq!(reply.body.as_str(), body);
            assert_eq!(replies[0].provider, Some(Script::provider()));
            assert_eq!(world.status(id).await, Status::Delivered);
        }
    }
}

/// A store that cannot delete what is done is like a node that dies after it performed it.
#[tokio::test(start_paused = true)]
async fn what_is_performed_twice_is_stored_once() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
    let world = World::with_scripts(settings(), store.clone(), clock, BOTH, None);
    store.set(Fault::FinishesNothing);
    let id = world.sent(text_to(60)).await;
    world.until(id, Status::Delivered).await;
    let said = world.detail(id).await.message.delivery;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let performed = world.detail(id).await.receipts.len();
    assert!(performed > 1, "it was performed {performed} times");
    assert_eq!(replies(&world, id).await.len(), 1);
    assert_eq!(world.detail(id).await.message.delivery, said);

    store.set(Fault::None);
    settle_down().await;
    let performed = world.detail(id).await.receipts.len();
    settle_down().await;
    assert_eq!(world.detail(id).await.receipts.len(), performed, "it is done now");
    let left = store.take_follow_ups(10, Duration::ZERO).await.unwrap();
    assert_eq!(left, store::TakenFollowUps::default());
}

/// Takes every message, reports and answers, but its own answers are lost.
#[derive(Debug)]
struct Silent(ProviderName);

#[async_trait]
impl Provider for Silent {
    fn name(&self) -> &ProviderName {
        &self.0
    }

    fn channels(&self) -> &[Channel] {
        Channel::ALL
    }

    async fn send(&self, _: Call<'_>) -> SendResult {
        std::future::pending().await
    }

    fn follow_ups(&self, call: &Call<'_>) -> Vec<FollowUp> {
        assert_eq!((call.attempt_number, call.completed_attempts), (1, 0));
        Script::of(&Participant::from_stored("+12025550159"))
            .unwrap()
            .follow_ups
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_without_an_answer_is_reported_and_replied_to() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let provider = Arc::new(Silent(Script::provider()));
    let mut patient = settings();
    // The report comes before the retry.
    patient.dispatch.backoff = Backoff::new(Duration::from_secs(900), Duration::from_secs(900)).unwrap();
    let world = World::with_scripts_of(patient, store, clock, BOTH, provider);
    let id = world.sent(text_to(59)).await;
    world.until(id, Status::Delivered).await;
    settle_down().await;
    let detail = world.detail(id).await;
    assert_eq!(
        recorded(&detail.attempts),
        [TIMEOUT],
        "the report calls the retry off"
    );
    assert_eq!(detail.receipts.len(), 1);
    assert_eq!(replies(&world, id).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn follow_ups_outlive_a_result_that_cannot_be_recorded() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
    let world = World::with_scripts(settings(), store.clone(), clock, BOTH, None);
    store.set(Fault::RefusesSuccesses);
    let id = world.sent(text_to(59)).await;
    // The lease expires. The node knows that it sent the message, and says so without an attempt.
    world.until(id, Status::Delivered).await;
    assert_eq!(world.outcomes(id).await, [Outcome::Unknown]);
    settle_down().await;
    assert_eq!(replies(&world, id).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn follow_ups_outlive_the_node_that_stored_them() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let first = World::with_scripts(settings(), Arc::clone(&store), Arc::clone(&clock), BOTH, None);
    let id = first.sent(email_to("reply-yes")).await;
    first.until(id, Status::Dispatched).await;
    first.engine.drain(Duration::from_secs(1)).await;
    drop(first);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let second = World::with_scripts(settings(), store, clock, BOTH, None);
    assert_eq!(second.status(id).await, Status::Dispatched);
    second.until(id, Status::Delivered).await;
    while replies(&second, id).await.is_empty() {
        tick().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_crash_cut_off_does_not_advance_the_script() {
    let world = world();
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
    let world = world();
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
    let world = world();
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
    let world = world();
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
