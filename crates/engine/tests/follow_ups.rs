//! Receipts and replies after a scripted message was taken: durable, prompt, and stored once. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "the server's tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Clock, FollowUp, Outcome, Participant, ProviderName, ReceiptStatus, Script, Status};
use providers::{Call, Provider, SendResult};
use resilience::Backoff;
use store::{FollowUps, Store};
use store_model::Memory;
use trunkline_engine::EngineSettings;

use faulty_store::{Fault, FaultyStore};
use world::{
    DrivenClock, World,
    scripts::{BOTH, TIMEOUT, email_to, recorded, replies, scripted_world, settle_down, text_to, to_row},
    settings, tick,
};

#[tokio::test(start_paused = true)]
async fn a_receipt_comes_a_second_after_the_message_was_taken() {
    let world = scripted_world();
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
    let world = scripted_world();
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

/// Takes every message and does not answer unless it `answers`.
#[derive(Debug)]
struct Taking {
    name: ProviderName,
    answers: bool,
    follow_ups: Vec<FollowUp>,
}

#[async_trait]
impl Provider for Taking {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        Channel::ALL
    }

    async fn send(&self, _: Call<'_>) -> SendResult {
        if !self.answers {
            return std::future::pending().await;
        }
        SendResult::Success {
            provider_message_id: None,
        }
    }

    fn follow_ups(&self, call: &Call<'_>) -> Vec<FollowUp> {
        assert_eq!((call.attempt_number, call.completed_attempts), (1, 0));
        self.follow_ups.clone()
    }
}

/// What happens after a taken message at number 59, so much later.
fn world_taking(settings: EngineSettings, answers: bool, after: Duration) -> World {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let script = Script::of(&Participant::from_stored("+12025550159")).unwrap();
    let follow_ups = script.follow_ups.into_iter();
    let provider = Taking {
        name: Script::provider(),
        answers,
        follow_ups: follow_ups
            .map(|follow_up| FollowUp { after, ..follow_up })
            .collect(),
    };
    World::with_scripts_of(settings, store, clock, BOTH, Arc::new(provider))
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_without_an_answer_is_reported_and_replied_to() {
    let mut patient = settings();
    // The report comes before the retry.
    patient.dispatch.backoff = Backoff::new(Duration::from_secs(900), Duration::from_secs(900)).unwrap();
    let world = world_taking(patient, false, Duration::from_secs(1));
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
async fn what_is_due_soon_does_not_wait_for_the_next_poll() {
    let world = world_taking(settings(), true, Duration::from_millis(20));
    for _ in 0..20 {
        let id = world.sent(text_to(59)).await;
        world.until(id, Status::Dispatched).await;
        let began = world.clock.monotonic();
        world.until(id, Status::Delivered).await;
        let waited = world.clock.monotonic() - began;
        assert!(waited <= Duration::from_millis(60), "{waited:?}");
    }
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
