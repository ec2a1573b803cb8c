//! Receipts that come before their attempt is on record, or while a node holds a lease on the message.

use std::sync::Arc;

use domain::{Channel, EventType, FailureReason, MessageId, Outcome, Receipt, ReceiptStatus, Status};
use trunkline_store::{AppliedReceipt, Disposition, Settled, Store};

use crate::{
    builders::{ALREADY, EMAIL, Held, NOT_YET, SMS, dead, name, reroute, retry},
    receipts::listed,
    world::World,
};

use EventType::{MessageAccepted, MessageDelivered, MessageDispatched, MessageFailed};
use ReceiptStatus::{Delivered, Sent, Undelivered};

/// A message whose first attempt timed out and that is leased again.
async fn leased_again(world: &World) -> Held {
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    world
        .settle(Held::at_accept(id).tried(Outcome::Timeout, retry(ALREADY)))
        .await;
    world.claim_one(SMS, NOT_YET).await
}

async fn unmatched(world: &World) -> usize {
    listed(world, Some(false)).await.len()
}

pub(crate) async fn a_receipt_that_comes_first_is_applied_with_the_settlement(world: &World) {
    for named in [false, true] {
        let provider_message_id = format!("p {named}");
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let receipt = if named {
            world.receipt_for(id, Delivered)
        } else {
            world.receipt_of(&provider_message_id, Delivered)
        };
        assert_eq!(world.store_receipt(&receipt).await, None);
        assert_eq!(world.match_receipts(NOT_YET, 10).await, 0);
        assert_eq!(
            (world.status(id).await, unmatched(world).await),
            (Status::Pending, 1)
        );
        let settled = world
            .settle(Held::at_accept(id).taken_as(&provider_message_id))
            .await;
        assert_eq!(settled, Settled::Applied);
        assert_eq!(
            (world.status(id).await, unmatched(world).await),
            (Status::Delivered, 0)
        );
        assert_eq!(world.detail(id).await.receipts, [receipt]);
        assert_eq!(
            world.events_of(id).await,
            [MessageAccepted, MessageDispatched, MessageDelivered]
        );
    }
}

/// Whatever a settlement would do next, a parked receipt proves that a provider has the message.
pub(crate) async fn a_receipt_parked_under_a_lease_is_applied_after_any_settlement(world: &World) {
    let ends: [(Outcome, Disposition, &[EventType]); 4] = [
        (Outcome::Success, Disposition::Finish, &[MessageDispatched]),
        (Outcome::Error, retry(ALREADY), &[MessageDispatched]),
        (Outcome::Timeout, retry(NOT_YET), &[MessageDispatched]),
        (
            Outcome::Error,
            dead(FailureReason::Exhausted),
            &[MessageFailed, MessageDispatched],
        ),
    ];
    for (outcome, disposition, events) in ends {
        let held = leased_again(world).await;
        let receipt = world.receipt_for(held.id, Delivered);
        assert_eq!(world.store_receipt(&receipt).await, None);
        assert_eq!(world.match_receipts(NOT_YET, 10).await, 0);
        assert_eq!(world.status(held.id).await, Status::Pending);
        let settled = world.settle(held.tried(outcome, disposition.clone())).await;
        assert_eq!(settled, Settled::Applied, "{disposition:?}");
        let detail = world.detail(held.id).await;
        assert_eq!(
            (detail.message.status, detail.message.failure, detail.waiting),
            (Status::Delivered, None, None),
            "{disposition:?}"
        );
        assert_eq!(detail.attempts.len(), 2);
        let expected = [&[MessageAccepted], events, &[MessageDelivered]].concat();
        assert_eq!(world.events_of(held.id).await, expected, "{disposition:?}");
        assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    }
    assert_eq!(unmatched(world).await, 0);
}

pub(crate) async fn a_receipt_parked_under_a_lease_is_applied_when_the_lease_is_given_back(world: &World) {
    for named in [false, true] {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let provider_message_id = format!("given back {named}");
        let mut timeout = Held::at_accept(id).taken_as(&provider_message_id);
        timeout.disposition = retry(ALREADY);
        if let Some(tried) = &mut timeout.tried {
            tried.outcome = Outcome::Timeout;
        }
        world.settle(timeout).await;
        let held = world.claim_one(SMS, NOT_YET).await;
        let receipt = if named {
            world.receipt_for(id, Delivered)
        } else {
            world.receipt_of(&provider_message_id, Delivered)
        };
        assert_eq!(world.store_receipt(&receipt).await, None);
        world.release(&[(held.id, held.token)]).await;
        assert_eq!(
            (world.status(id).await, unmatched(world).await),
            (Status::Delivered, 0)
        );
        assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
        assert_eq!(
            world.events_of(id).await,
            [MessageAccepted, MessageDispatched, MessageDelivered]
        );
    }
}

pub(crate) async fn an_untried_settlement_applies_them_too(world: &World) {
    let held = leased_again(world).await;
    world.store_receipt(&world.receipt_for(held.id, Sent)).await;
    world.settle(held.untried(dead(FailureReason::Deadline))).await;
    assert_eq!(world.status(held.id).await, Status::Dispatched);
    // A dead letter of a message that was certainly not taken stays one.
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    world.store_receipt(&world.receipt_for(id, Sent)).await;
    let refused = Held::at_accept(id).tried(Outcome::Rejected, dead(FailureReason::Rejected));
    world.settle(refused).await;
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Failed, 1)
    );
}

pub(crate) async fn a_rerouted_message_is_not_finished_by_a_receipt_for_its_former_attempt(world: &World) {
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    world.store_receipt(&world.receipt_for(id, Delivered)).await;
    world
        .settle(Held::at_accept(id).tried(Outcome::Error, reroute(EMAIL)))
        .await;
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Pending, 1)
    );
    // It names another provider than the one that takes the message.
    let held = world.claim_one(EMAIL, NOT_YET).await;
    world.settle(held.taken_as("p")).await;
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Dispatched, 1)
    );
}

/// A worker that lost its lease reports the id that the provider gave; then a receipt that names the id matches.
pub(crate) async fn a_late_outcome_brings_the_id_that_a_receipt_names(world: &World) {
    let id = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let current = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(world.store_receipt(&world.receipt_of("p", Delivered)).await, None);
    assert_eq!(world.settle(stale.taken_as("p")).await, Settled::LeaseLost);
    // The message is leased again, so the receipt still waits.
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Pending, 1)
    );
    world.settle(current.tried(Outcome::Error, retry(NOT_YET))).await;
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Delivered, 0)
    );

    // The same when no lease is in the way.
    let id = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let current = world.claim_one(SMS, NOT_YET).await;
    world.settle(current.tried(Outcome::Error, retry(NOT_YET))).await;
    assert_eq!(
        world.store_receipt(&world.receipt_of("q", Undelivered)).await,
        None
    );
    assert_eq!(world.settle(stale.taken_as("q")).await, Settled::LeaseLost);
    assert_eq!(
        (world.status(id).await, unmatched(world).await),
        (Status::Undelivered, 0)
    );
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
}

/// The attempt that is recorded for an expired lease is returned, so that it is counted.
fn expired(message_id: MessageId) -> AppliedReceipt {
    AppliedReceipt {
        message_id,
        lease_expired: Some((name(SMS), Channel::Sms)),
    }
}

pub(crate) async fn an_expired_lease_is_recorded_before_its_receipt_is_applied(world: &World) {
    for by_match in [false, true] {
        let held = leased_again(world).await;
        if by_match {
            assert_eq!(
                world.store_receipt(&world.receipt_for(held.id, Delivered)).await,
                None
            );
        }
        world.pass(NOT_YET * 2).await;
        if by_match {
            let applied = world.store.match_receipts(NOT_YET * 24, 10).await;
            assert_eq!(applied.unwrap(), [expired(held.id)]);
        } else {
            let receipt = world.receipt_for(held.id, Delivered);
            let applied = world.store.store_receipt(&receipt).await;
            assert_eq!(applied.unwrap(), Some(expired(held.id)));
        }
        let detail = world.detail(held.id).await;
        assert_eq!(detail.message.status, Status::Delivered);
        let outcomes: Vec<_> = detail
            .attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.outcome))
            .collect();
        assert_eq!(outcomes, [(1, Outcome::Timeout), (2, Outcome::Unknown)]);
        // The worker that comes back has lost its lease, and adds to its own attempt.
        assert_eq!(world.settle(held.taken_as("p")).await, Settled::LeaseLost);
        let late = world.detail(held.id).await.attempts[1].late_outcome;
        assert_eq!(late, Some(Outcome::Success));
        assert_eq!(
            world.events_of(held.id).await,
            [MessageAccepted, MessageDispatched, MessageDelivered]
        );
    }
}

pub(crate) async fn matching_takes_recent_receipts_up_to_the_limit(world: &World) {
    let mut ids: Vec<MessageId> = Vec::new();
    for _ in 0..3 {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        world
            .settle(Held::at_accept(id).tried(Outcome::Timeout, retry(ALREADY)))
            .await;
        ids.push(id);
    }
    assert_eq!(world.claim(SMS, 10, NOT_YET).await.len(), 3);
    for id in &ids {
        world.store_receipt(&world.receipt_for(*id, Sent)).await;
    }
    assert_eq!(world.match_receipts(NOT_YET, 10).await, 0, "all are leased");
    // The leases expire.
    world.pass(NOT_YET * 2).await;
    assert_eq!(world.match_receipts(NOT_YET, 10).await, 0, "none is so recent");
    assert_eq!(world.match_receipts(NOT_YET * 4, 2).await, 2);
    assert_eq!(world.match_receipts(NOT_YET * 4, 2).await, 1);
    assert_eq!(world.match_receipts(NOT_YET * 4, 2).await, 0);
    for id in ids {
        assert_eq!(world.status(id).await, Status::Dispatched);
        assert_eq!(world.events_of(id).await, [MessageAccepted, MessageDispatched]);
    }
}

/// Receipts, settlements and matching at the same time lose none and apply none twice.
pub(crate) async fn receipts_and_settlements_at_once_lose_nothing(world: &World) {
    const MESSAGES: usize = 40;
    let mut held = Vec::new();
    for _ in 0..MESSAGES {
        held.push(Held::at_accept(
            world.accept(world.outbound().leased(NOT_YET)).await,
        ));
    }
    let receipts: Vec<Receipt> = (0..MESSAGES)
        .map(|number| Receipt {
            provider: (number % 2 == 0).then(|| name(SMS)),
            ..world.receipt_of(&format!("p{number}"), Delivered)
        })
        .collect();
    let [one, other] = world.two_nodes().await;
    let settling = tokio::spawn(settle_each(Arc::clone(&one), held.clone()));
    let receiving = tokio::spawn(receive_each(Arc::clone(&other), receipts.clone()));
    let again = tokio::spawn(receive_each(one, receipts.into_iter().rev().collect()));
    for task in [settling, receiving, again] {
        task.await.unwrap();
    }
    while !other.match_receipts(NOT_YET, 100).await.unwrap().is_empty() {}
    for held in held {
        let detail = world.detail(held.id).await;
        assert_eq!(
            (detail.message.status, detail.receipts.len()),
            (Status::Delivered, 2)
        );
        assert_eq!(
            world.events_of(held.id).await,
            [MessageAccepted, MessageDispatched, MessageDelivered]
        );
    }
    assert_eq!(unmatched(world).await, 0);
    world.check_conversations().await;
}

async fn settle_each(store: Arc<dyn Store>, held: Vec<Held>) {
    for (number, held) in held.iter().enumerate() {
        let settlement = held.taken_as(&format!("p{number}"));
        assert_eq!(store.settle(&[settlement]).await, Ok(vec![Settled::Applied]));
        tokio::task::yield_now().await;
    }
}

async fn receive_each(store: Arc<dyn Store>, receipts: Vec<Receipt>) {
    for receipt in receipts {
        store.store_receipt(&receipt).await.unwrap();
        tokio::task::yield_now().await;
    }
}
