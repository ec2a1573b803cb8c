use std::{collections::BTreeSet, sync::Arc};

use domain::{Delivery, Direction, EventType, FailureReason, MessageId, Outcome, ReceiptStatus, Status};
use trunkline_store::{Accept, Canceled, Redriven, Store};

use crate::{
    builders::{ALREADY, Draft, Held, NOT_YET, SMS, dead, in_place, name, retry, up_to},
    import::past,
    world::World,
};

const NOW: Canceled = Canceled::Canceled { now: true };
const BEFORE: Canceled = Canceled::Canceled { now: false };

async fn cancel(world: &World, id: MessageId) -> Canceled {
    world.store.cancel(id).await.unwrap()
}

/// A message that was tried once and waits for its next attempt.
async fn retried(world: &World, outcome: Outcome) -> MessageId {
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    world
        .settle(Held::at_accept(id).tried(outcome, retry(ALREADY)))
        .await;
    id
}

pub(crate) async fn a_waiting_message_is_canceled_and_never_claimed(world: &World) {
    let pending = world.accept(world.outbound()).await;
    let scheduled = world.accept(world.outbound().send_in(NOT_YET)).await;
    for id in [pending, scheduled] {
        assert_eq!(cancel(world, id).await, NOW);
        let detail = world.detail(id).await;
        assert_eq!((detail.message.status, detail.waiting), (Status::Canceled, None));
        // Repeating it changes nothing.
        assert_eq!(cancel(world, id).await, BEFORE);
        assert_eq!(
            world.events_of(id).await,
            [EventType::MessageAccepted, EventType::MessageCanceled]
        );
    }
    world.pass(NOT_YET).await;
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    assert_eq!(world.sweep(&[], 10).await, []);
    let terms = in_place(NOT_YET, NOT_YET);
    assert_eq!(
        world.store.redrive(pending, &terms).await,
        Ok(Redriven::NotFailed)
    );
    world.check_conversations().await;
}

pub(crate) async fn a_leased_message_is_not_canceled(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(cancel(world, id).await, Canceled::NotCancelable);
    assert_eq!(world.release(&[(id, held.token)]).await, 1);
    // A released lease was never used.
    assert_eq!(cancel(world, id).await, NOW);
    // An expired one may have been, and may still be.
    let expired = world.accept(world.outbound()).await;
    world.claim_one(SMS, ALREADY).await;
    assert_eq!(cancel(world, expired).await, Canceled::NotCancelable);
    assert_eq!(world.status(expired).await, Status::Pending);
}

pub(crate) async fn a_message_that_may_have_been_taken_is_not_canceled(world: &World) {
    for outcome in [Outcome::Error, Outcome::RateLimited, Outcome::Rejected] {
        let id = retried(world, outcome).await;
        assert_eq!(cancel(world, id).await, NOW, "{outcome:?}");
    }
    for outcome in [Outcome::Timeout, Outcome::Unknown] {
        let id = retried(world, outcome).await;
        assert_eq!(cancel(world, id).await, Canceled::NotCancelable, "{outcome:?}");
        // Nor after a later attempt that was certainly not taken.
        let held = world.claim_one(SMS, NOT_YET).await;
        world.settle(held.tried(Outcome::Error, retry(NOT_YET))).await;
        assert_eq!(cancel(world, id).await, Canceled::NotCancelable, "{outcome:?}");
        assert_eq!(world.events_of(id).await, [EventType::MessageAccepted]);
    }
}

pub(crate) async fn an_attempt_before_a_redrive_counts(world: &World) {
    for (outcome, expected) in [
        (Outcome::Timeout, Canceled::NotCancelable),
        (Outcome::Unknown, Canceled::NotCancelable),
        (Outcome::Error, NOW),
    ] {
        let id = world
            .settled(world.outbound(), |held| {
                held.tried(outcome, dead(FailureReason::Exhausted))
            })
            .await;
        let terms = in_place(NOT_YET, NOT_YET);
        assert_eq!(world.store.redrive(id, &terms).await, Ok(Redriven::Pending));
        assert_eq!(cancel(world, id).await, expected, "{outcome:?}");
    }
}

pub(crate) async fn a_final_message_is_not_canceled(world: &World) {
    let dispatched = world.settled(world.outbound(), |held| held.taken_as("p1")).await;
    let delivered = world.settled(world.outbound(), |held| held.taken_as("p2")).await;
    let undelivered = world.settled(world.outbound(), |held| held.taken_as("p3")).await;
    world
        .store_receipt(&world.receipt_of("p2", ReceiptStatus::Delivered))
        .await;
    world
        .store_receipt(&world.receipt_of("p3", ReceiptStatus::Undelivered))
        .await;
    let failed = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, dead(FailureReason::Exhausted))
        })
        .await;
    let received = world.accept(world.inbound("p")).await;
    let imported = past(world.outbound().accept(), Direction::Outbound, "old");
    world.store.import(std::slice::from_ref(&imported)).await.unwrap();
    let expected = [
        (dispatched, Status::Dispatched),
        (delivered, Status::Delivered),
        (undelivered, Status::Undelivered),
        (failed, Status::Failed),
        (received, Status::Received),
        (imported.id, Status::Dispatched),
    ];
    for (id, status) in expected {
        assert_eq!(cancel(world, id).await, Canceled::NotCancelable, "{status:?}");
        assert_eq!(world.status(id).await, status);
    }
    let (unknown, _) = world.mint();
    assert_eq!(cancel(world, unknown).await, Canceled::NotFound);
}

pub(crate) async fn receipts_leave_a_canceled_message_canceled(world: &World) {
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    let refused = Held::at_accept(id).tried_as("p1", Outcome::Error, retry(ALREADY));
    world.settle(refused).await;
    assert_eq!(cancel(world, id).await, NOW);
    let receipt = world.receipt_of("p1", ReceiptStatus::Delivered);
    assert_eq!(world.store_receipt(&receipt).await, Some(id));
    let message = world.detail(id).await.message;
    assert_eq!(
        (message.status, message.delivery),
        (Status::Canceled, Some(Delivery::of(&receipt)))
    );
    assert_eq!(cancel(world, id).await, BEFORE);
    assert_eq!(
        world.events_of(id).await,
        [EventType::MessageAccepted, EventType::MessageCanceled]
    );
}

/// Of a claim and a cancel at the same time one wins, and a canceled message is never claimed.
pub(crate) async fn a_cancel_and_a_claim_never_both_win(world: &World) {
    const MESSAGES: usize = 60;
    let batch: Vec<Accept> = (0..MESSAGES)
        .map(|_| world.outbound())
        .map(Draft::accept)
        .collect();
    world.accept_all(&batch).await;
    let ids: Vec<MessageId> = batch.iter().map(|accept| accept.id).collect();
    let [claiming, canceling] = world.two_nodes().await;
    let claiming = tokio::spawn(async move {
        let mut claimed = BTreeSet::new();
        loop {
            let claims = claiming.claim(&name(SMS), up_to(3), NOT_YET).await.unwrap();
            if claims.entries.is_empty() {
                return claimed;
            }
            claimed.extend(claims.entries.iter().map(|claimed| claimed.leased.id));
        }
    });
    let canceling = tokio::spawn(cancel_all(canceling, ids.iter().rev().copied().collect()));
    let (claimed, canceled) = (claiming.await.unwrap(), canceling.await.unwrap());
    assert!(claimed.is_disjoint(&canceled));
    assert_eq!(claimed.len() + canceled.len(), MESSAGES);
    for id in ids {
        let expected = if canceled.contains(&id) {
            Status::Canceled
        } else {
            Status::Pending
        };
        assert_eq!(world.status(id).await, expected);
    }
}

async fn cancel_all(store: Arc<dyn Store>, ids: Vec<MessageId>) -> BTreeSet<MessageId> {
    let mut canceled = BTreeSet::new();
    for id in ids {
        if store.cancel(id).await.unwrap() == NOW {
            canceled.insert(id);
        }
        tokio::task::yield_now().await;
    }
    canceled
}
