//! Scheduled messages, deadlines of their own, cancellation and receipts. On driven time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "other tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{sync::Arc, time::Duration};

use domain::{
    Channel, Clock, Entropy, FailureReason, MessageId, Outcome, Receipt, ReceiptStatus, Status, Timestamp,
};
use store::{Canceled, Store};
use store_model::Memory;
use trunkline_engine::{Hold, HoldReason};

use faulty_store::{Fault, FaultyStore};
use world::{
    Act, DrivenClock, World, error, expiring, rate_limited, rejected, scheduled, settings, sms, success,
    taken, tick,
};

const NOW: Canceled = Canceled::Canceled { now: true };

fn in_secs(world: &World, seconds: u64) -> Timestamp {
    world.clock.now().saturating_add(Duration::from_secs(seconds))
}

fn receipt(world: &World, status: ReceiptStatus) -> Receipt {
    let now = world.clock.now();
    Receipt {
        provider: Some("sms-mms".parse().unwrap()),
        provider_message_id: None,
        message_id: None,
        status,
        error_code: None,
        at: now,
        received_at: now,
    }
}

/// A receipt with the provider's id of a message.
fn of_provider(world: &World, id: &str, status: ReceiptStatus) -> Receipt {
    Receipt {
        provider_message_id: Some(id.parse().unwrap()),
        ..receipt(world, status)
    }
}

/// A receipt with our own id of a message.
fn of_ours(world: &World, id: MessageId, status: ReceiptStatus) -> Receipt {
    Receipt {
        message_id: Some(id),
        ..receipt(world, status)
    }
}

async fn until_attempts(world: &World, id: MessageId, count: usize) {
    while world.detail(id).await.attempts.len() < count {
        tick().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_is_sent_at_its_time_and_not_before() {
    let world = World::new(settings()).await;
    let send_at = in_secs(&world, 3_600);
    let id = world.sent(scheduled(sms("later"), send_at)).await;
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Scheduled);
    assert!(!detail.waiting.unwrap().leased);
    let until = Some(send_at);
    let reason = HoldReason::Scheduled;
    assert_eq!(
        world.engine.hold(&detail),
        (Some(send_at), Some(Hold { reason, until }))
    );
    world.until(id, Status::Dispatched).await;
    let late = world.clock.now().saturating_since(send_at);
    let calls = world.sms.calls();
    assert!(
        late <= settings().dispatch.poll + Duration::from_millis(50),
        "{late:?}"
    );
    assert_eq!(calls.len(), 1);
    assert!(calls[0].2 >= Duration::from_secs(3_600), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn the_operators_deadline_counts_from_the_time_to_send() {
    let world = World::new(settings()).await;
    world.sms.always(error());
    let id = world.sent(scheduled(sms("later"), in_secs(&world, 14_000))).await;
    tokio::time::sleep(Duration::from_secs(14_500)).await;
    assert_eq!(world.status(id).await, Status::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_message_fails_at_its_own_deadline() {
    // The first entry is in the lane's queue when it expires, the others wait in the store.
    for held in [true, false] {
        let mut narrow = settings();
        narrow.dispatch.lane.concurrency = 1;
        let world = World::new(narrow).await;
        let blocker = Act::Slow(Duration::from_secs(4));
        world.sms.always(if held {
            blocker.clone()
        } else {
            rate_limited(Duration::from_secs(600))
        });
        world.sms.play([blocker]);
        world.sent(sms("first")).await;
        let deadline = in_secs(&world, 2);
        let id = world.sent(expiring(sms("short-lived"), deadline)).await;
        world.until(id, Status::Failed).await;
        let detail = world.detail(id).await;
        assert_eq!(detail.message.failure.unwrap().reason, FailureReason::Deadline);
        let late = world.clock.now().saturating_since(deadline);
        assert!(late <= Duration::from_secs(6), "{late:?}");
        let called = world.sms.calls().iter().filter(|call| call.0 == id).count();
        assert_eq!(called, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_canceled_message_is_never_sent() {
    let world = World::new(settings()).await;
    let id = world.sent(scheduled(sms("later"), in_secs(&world, 60))).await;
    assert_eq!(world.engine.cancel(id).await, Ok(NOW));
    assert_eq!(
        world.engine.cancel(id).await,
        Ok(Canceled::Canceled { now: false })
    );
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.status(id).await, Status::Canceled);
    assert_eq!(world.sms.calls(), []);
    assert_eq!(world.metric("trunkline_messages_canceled_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_canceled_if_no_attempt_was_ambiguous() {
    for (act, expected) in [
        (error(), NOW),
        (rate_limited(Duration::from_secs(5)), NOW),
        (Act::Hang, Canceled::NotCancelable),
    ] {
        let world = World::new(settings()).await;
        world.sms.play([act.clone()]);
        world.sms.always(rate_limited(Duration::from_secs(3_600)));
        let id = world.sent(sms("hello")).await;
        until_attempts(&world, id, 1).await;
        assert_eq!(world.engine.cancel(id).await, Ok(expected), "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_and_a_final_message_are_not_canceled() {
    let world = World::new(settings()).await;
    world.sms.play([Act::Slow(Duration::from_secs(1)), rejected()]);
    let calling = world.sent(sms("hello")).await;
    tick().await;
    assert_eq!(world.sms.calls().len(), 1);
    assert_eq!(world.engine.cancel(calling).await, Ok(Canceled::NotCancelable));
    let failed = world.sent(sms("to a wrong number")).await;
    for (id, status) in [(calling, Status::Dispatched), (failed, Status::Failed)] {
        world.until(id, status).await;
        assert_eq!(world.engine.cancel(id).await, Ok(Canceled::NotCancelable));
        assert_eq!(world.status(id).await, status);
    }
    let unknown = MessageId::mint(world.clock.now(), &Entropy::from_seed(99));
    assert_eq!(world.engine.cancel(unknown).await, Ok(Canceled::NotFound));
    assert_eq!(world.metric("trunkline_messages_canceled_total"), 0);
}

/// Messages become due while they are canceled: each is either canceled and never sent, or refused and sent.
#[tokio::test(start_paused = true)]
async fn cancel_and_claim_race_and_one_of_them_wins() {
    let mut eager = settings();
    eager.dispatch.poll = Duration::from_millis(3);
    let world = World::new(eager).await;
    world.sms.always(Act::Slow(Duration::from_millis(2)));
    let entropy = Entropy::from_seed(11);
    let (mut canceled, mut refused) = (0, 0);
    for _ in 0..200 {
        let send_at = world.clock.now().saturating_add(Duration::from_millis(20));
        let id = world.sent(scheduled(sms("maybe"), send_at)).await;
        tokio::time::sleep(Duration::from_millis(15 + entropy.next_u64() % 15)).await;
        match world.engine.cancel(id).await.unwrap() {
            Canceled::Canceled { now: true } => {
                canceled += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(world.sms.calls().iter().all(|call| call.0 != id));
                assert_eq!(world.status(id).await, Status::Canceled);
            }
            Canceled::NotCancelable => {
                refused += 1;
                world.until(id, Status::Dispatched).await;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(canceled > 20 && refused > 20, "{canceled} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_after_the_settlement_is_applied_at_once() {
    let world = World::new(settings()).await;
    world.sms.play([taken("p-1")]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Dispatched).await;
    let sent = of_provider(&world, "p-1", ReceiptStatus::Sent);
    assert_eq!(world.engine.receive_receipt(sent).await, Ok(Some(id)));
    assert_eq!(world.status(id).await, Status::Dispatched);
    let delivered = of_provider(&world, "p-1", ReceiptStatus::Delivered);
    for _ in 0..2 {
        assert_eq!(
            world.engine.receive_receipt(delivered.clone()).await,
            Ok(Some(id))
        );
        assert_eq!(world.status(id).await, Status::Delivered);
    }
    let applied = "trunkline_receipts_total{status=\"delivered\",result=\"applied\"}";
    assert_eq!(world.metric(applied), 2);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_before_the_settlement_is_applied_with_it() {
    let world = World::new(settings()).await;
    world.sms.play([Act::Slow(Duration::from_secs(1)), taken("p-2")]);
    world.sent(sms("first")).await;
    let early = of_provider(&world, "p-2", ReceiptStatus::Delivered);
    assert_eq!(world.engine.receive_receipt(early).await, Ok(None));
    let id = world.sent(sms("second")).await;
    world.until(id, Status::Delivered).await;
    let kept = "trunkline_receipts_total{status=\"delivered\",result=\"kept\"}";
    assert_eq!(world.metric(kept), 1);
    assert_eq!(world.detail(id).await.receipts.len(), 1);
}

/// A timeout, and then a receipt: the provider has the message, so it is not sent again.
#[tokio::test(start_paused = true)]
async fn proof_calls_a_retry_off() {
    let mut slow = settings();
    slow.dispatch.backoff =
        resilience::Backoff::new(Duration::from_secs(600), Duration::from_secs(900)).unwrap();
    let world = World::new(slow).await;
    world.sms.play([Act::Hang]);
    let id = world.sent(sms("hello")).await;
    until_attempts(&world, id, 1).await;
    assert_eq!(world.outcomes(id).await, [Outcome::Timeout]);
    let proof = of_ours(&world, id, ReceiptStatus::Delivered);
    assert_eq!(world.engine.receive_receipt(proof).await, Ok(Some(id)));
    assert_eq!(world.status(id).await, Status::Delivered);
    tokio::time::sleep(Duration::from_secs(2_000)).await;
    assert_eq!(world.sms.calls().len(), 1);
    assert_eq!(world.status(id).await, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn our_own_id_proves_nothing_without_an_attempt_that_may_have_been_taken() {
    let world = World::new(settings()).await;
    world.sms.play([error()]);
    world.sms.always(rate_limited(Duration::from_secs(60)));
    let id = world.sent(sms("hello")).await;
    until_attempts(&world, id, 1).await;
    let claim = of_ours(&world, id, ReceiptStatus::Delivered);
    assert_eq!(world.engine.receive_receipt(claim).await, Ok(None));
    assert_eq!(world.status(id).await, Status::Pending);
}

#[tokio::test(start_paused = true)]
async fn proof_brings_a_dead_letter_back() {
    let mut hasty = settings();
    hasty.dispatch.attempts_max = 1;
    let world = World::new(hasty).await;
    world.sms.play([Act::Hang]);
    let id = world.sent(sms("hello")).await;
    world.until(id, Status::Failed).await;
    let proof = of_ours(&world, id, ReceiptStatus::Sent);
    assert_eq!(world.engine.receive_receipt(proof).await, Ok(Some(id)));
    assert_eq!(world.status(id).await, Status::Dispatched);
}

/// The proof comes while the message is being sent again. The second result is recorded, and then the receipt is applied.
#[tokio::test(start_paused = true)]
async fn proof_during_a_call_waits_for_its_result() {
    for (act, outcome) in [
        (error(), Outcome::Error),
        (success(), Outcome::Success),
        (rejected(), Outcome::Rejected),
        (Act::Hang, Outcome::Timeout),
    ] {
        let world = World::new(settings()).await;
        world
            .sms
            .play([Act::Hang, Act::After(Duration::from_secs(1), Box::new(act))]);
        let id = world.sent(sms("hello")).await;
        while world.sms.calls().len() < 2 {
            tick().await;
        }
        let proof = of_ours(&world, id, ReceiptStatus::Undelivered);
        assert_eq!(world.engine.receive_receipt(proof).await, Ok(None));
        world.until(id, Status::Undelivered).await;
        assert_eq!(world.outcomes(id).await, [Outcome::Timeout, outcome]);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(world.sms.calls().len(), 2);
    }
}

/// A node dies while it sends a message again, and another finds the receipt that waited for it.
#[tokio::test(start_paused = true)]
async fn receipts_that_a_crash_left_are_applied_when_the_lease_has_expired() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let other = World::on(
        settings(),
        Arc::clone(&store),
        Arc::clone(&clock),
        &[Channel::Email],
    );
    let faulty = Arc::new(FaultyStore::new(store));
    let dying = World::on(settings(), faulty.clone(), clock, &[Channel::Sms]);
    dying.sms.play([Act::Hang]);
    let id = dying.sent(sms("hello")).await;
    until_attempts(&dying, id, 1).await;
    dying.sms.play([Act::Hang]);
    while dying.sms.calls().len() < 2 {
        tick().await;
    }
    let proof = of_ours(&dying, id, ReceiptStatus::Delivered);
    assert_eq!(dying.engine.receive_receipt(proof).await, Ok(None));
    faulty.set(Fault::Away);
    assert_eq!(other.status(id).await, Status::Pending);
    other.until(id, Status::Delivered).await;
    assert_eq!(other.outcomes(id).await, [Outcome::Timeout, Outcome::Unknown]);
    assert_eq!(other.metric("trunkline_receipts_matched_later_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_has_an_outcome_of_its_own() {
    let world = World::new(settings()).await;
    world.sms.play([rejected()]);
    let id = world.sent(sms("to a wrong number")).await;
    world.until(id, Status::Failed).await;
    assert_eq!(world.outcomes(id).await, [Outcome::Rejected]);
    let counts = world.sms_report().await.counts;
    assert_eq!((counts.rejected, counts.error), (1, 0));
    let attempts =
        "trunkline_dispatch_attempts_total{provider=\"sms-mms\",channel=\"sms\",outcome=\"rejected\"}";
    assert_eq!(world.metric(attempts), 1);
}

#[tokio::test(start_paused = true)]
async fn receipts_that_match_nothing_are_counted_and_deleted_when_they_are_old() {
    let mut forgetful = settings();
    forgetful.events_retention = Duration::from_secs(300);
    let world = World::new(forgetful).await;
    let unknown = of_provider(&world, "never-seen", ReceiptStatus::Delivered);
    assert_eq!(world.engine.receive_receipt(unknown).await, Ok(None));
    tokio::time::sleep(Duration::from_secs(280)).await;
    assert_eq!(world.metric("trunkline_receipts_unmatched"), 1);
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(world.metric("trunkline_receipts_unmatched"), 0);
}
