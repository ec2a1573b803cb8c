//! Receipts against what happens to their message at the same time. Row locks decide.

use std::{sync::Arc, time::Duration};

use domain::{
    Delivery, ErrorCode, EventId, EventSubject, EventType, MessageId, Outcome, Receipt, ReceiptStatus, Status,
};
use trunkline_store::{Disposition, EventsRead, Redriven, Settled, StoreError};

use crate::{
    builders::{ALREADY, Held, NOT_YET, SMS, dead, in_place, instant, name, retry},
    postgres_row_locks::{claim, run},
    world::{Kind, World},
};

/// Messages of a test that leaves the order to chance.
const MANY: usize = 60;

/// A receipt of the provider `SMS`.
pub(crate) fn receipt(provider_message_id: &str, status: ReceiptStatus) -> Receipt {
    Receipt {
        provider: Some(name(SMS)),
        provider_message_id: Some(provider_message_id.parse().unwrap()),
        message_id: None,
        status,
        error_code: None,
        at: instant(60),
        received_at: instant(61),
    }
}

/// A receipt that names the message by our own id.
fn naming(id: MessageId, status: ReceiptStatus) -> Receipt {
    Receipt {
        provider_message_id: None,
        message_id: Some(id),
        ..receipt("none", status)
    }
}

/// Its success, under an id of its own.
fn success(held: &Held) -> trunkline_store::Settlement {
    let mut settlement = held.tried(Outcome::Success, Disposition::Finish);
    if let Some(tried) = &mut settlement.tried {
        tried.provider_message_id = Some(theirs(held.id).parse().unwrap());
    }
    settlement
}

fn theirs(id: MessageId) -> String {
    format!("their-{id}")
}

/// A provider that serves others too reports their messages to us.
#[tokio::test]
async fn a_receipt_is_found_among_many_that_match_nothing() {
    let world = World::create(Kind::Postgres).await;
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    assert_eq!(
        world.store_receipt(&naming(id, ReceiptStatus::Delivered)).await,
        None
    );
    world
        .execute(
            "insert into receipts (provider, provider_message_id, status, at, received_at)
             select 'sms-mms', 'foreign ' || n, 'sent', now(), now() from generate_series(1, 12000) as n",
            "",
        )
        .await;
    // A node that is killed before it looks for receipts.
    let settled = format!(
        "update outbox set leased_until = null, attempts = 1 where message_id = '{id}';
         insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
         values ('{id}', 1, 1, 'sms-mms', 'timeout', now(), 1)"
    );
    world.execute(&settled, "").await;
    assert_eq!(world.match_receipts(NOT_YET, 10).await, 1);
    assert_eq!(world.status(id).await, Status::Delivered);
}

/// The types of all events of a message, in their order.
pub(crate) async fn events_of(world: &World, id: MessageId) -> Vec<EventType> {
    let mut types = Vec::new();
    let mut after = EventId::START;
    loop {
        let events = match insist!(world.store.events(after, 1_000).await).await {
            EventsRead::Events(events) => events,
            EventsRead::Expired { start } => panic!("expired until {start}"),
        };
        let Some(last) = events.last() else {
            return types;
        };
        after = last.id;
        for event in events {
            if matches!(&event.subject, EventSubject::Message { message_id, .. } if *message_id == id) {
                types.push(event.kind);
            }
        }
    }
}

async fn dispatched(world: &World) -> MessageId {
    world.settled(world.outbound(), success).await
}

async fn delivery(world: &World, id: MessageId) -> Option<Delivery> {
    world.detail(id).await.message.delivery
}

#[tokio::test]
async fn a_receipt_that_waited_for_another_one_joins_what_that_one_left() {
    run(async |race| {
        let id = dispatched(&race.world).await;
        let other = format!(
            "update messages set resolution = 'delivered', delivery_status = 'delivered', delivery_contradicted = false,
                 delivery_at = '2025-01-01 00:00:59+00' where id = '{id}'"
        );
        let failed = Receipt {
            error_code: Some(ErrorCode::of("blocked")),
            ..receipt(&theirs(id), ReceiptStatus::Undelivered)
        };
        let applied = race
            .behind(&other, async move |store| store.store_receipt(&failed).await)
            .await?;
        if applied.is_none() {
            return Err(too_late());
        }
        let expected = Delivery {
            status: ReceiptStatus::Delivered,
            error_code: None,
            at: instant(59),
            contradicted: true,
        };
        assert_eq!(delivery(&race.world, id).await, Some(expected));
        assert_eq!(race.world.status(id).await, Status::Delivered);
        assert!(!events_of(&race.world, id).await.contains(&EventType::MessageUndelivered));
        Ok(())
    })
    .await;
}

/// A receipt that was stored, and not applied because the machine was too slow.
fn too_late() -> StoreError {
    StoreError::OutcomeUnknown("too late".to_owned())
}

#[tokio::test]
async fn a_receipt_that_waited_for_a_claim_is_parked_until_the_settlement() {
    run(async |race| {
        let held = race.vanished(NOT_YET).await;
        race.world.claim_one(SMS, ALREADY).await;
        let held = Held {
            token: domain::LeaseToken(held.token.0 + 1),
            progress: trunkline_store::Progress {
                attempts: 1,
                ..held.progress
            },
            ..held
        };
        let claimed = format!(
            "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
                 values ('{id}', 2, {token}, '{SMS}', 'unknown', now(), 0);
             update outbox set lease_token = lease_token + 1, attempts = 2, leased_until = now() + interval '1 hour'
                 where message_id = '{id}'",
            id = held.id,
            token = held.token.0,
        );
        let proof = naming(held.id, ReceiptStatus::Delivered);
        let applied = race
            .behind(&claimed, async move |store| store.store_receipt(&proof).await)
            .await?;
        assert_eq!(applied, None);
        assert_eq!(race.world.status(held.id).await, Status::Pending);
        assert_eq!(delivery(&race.world, held.id).await, None);
        let now_held = Held {
            token: domain::LeaseToken(held.token.0 + 1),
            progress: trunkline_store::Progress {
                attempts: 2,
                ..held.progress
            },
            ..held
        };
        let retried = now_held.tried(Outcome::Error, retry(ALREADY));
        assert_eq!(race.world.store.settle(&[retried]).await?, [Settled::Applied]);
        assert_eq!(race.world.status(held.id).await, Status::Delivered);
        assert_eq!(claim(&*race.world.store, NOT_YET).await?, []);
        assert_eq!(
            events_of(&race.world, held.id).await[2..],
            [EventType::MessageDispatched, EventType::MessageDelivered]
        );
        Ok(())
    })
    .await;
}

/// Runs both on two nodes at once, in either order.
pub(crate) async fn at_once<A, B>(
    number: usize,
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> (A, B) {
    if number.is_multiple_of(2) {
        tokio::join!(one, other)
    } else {
        let (other, one) = tokio::join!(other, one);
        (one, other)
    }
}

/// No housekeeping matches them later.
#[tokio::test]
async fn a_receipt_and_the_settlement_of_its_message_always_meet() {
    let world = World::create(Kind::Postgres).await;
    let [one, two] = world.two_nodes().await;
    for number in 0..MANY {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let settlement = success(&Held::at_accept(id));
        let delivered = receipt(&theirs(id), ReceiptStatus::Delivered);
        at_once(
            number,
            insist!(one.settle(std::slice::from_ref(&settlement)).await),
            insist!(two.store_receipt(&delivered).await),
        )
        .await;
        assert_eq!(world.status(id).await, Status::Delivered);
        let events = events_of(&world, id).await;
        let last = [EventType::MessageDispatched, EventType::MessageDelivered];
        assert_eq!(
            events.iter().rev().take(2).rev().copied().collect::<Vec<_>>(),
            last
        );
    }
}

#[tokio::test]
async fn receipts_of_one_message_at_once_end_as_their_fold() {
    let world = World::create(Kind::Postgres).await;
    let nodes = world.two_nodes().await;
    for _ in 0..MANY / 4 {
        let id = dispatched(&world).await;
        let receipts: Vec<Receipt> = (0..8)
            .map(|number| {
                let status = ReceiptStatus::ALL[world.below(3) as usize];
                Receipt {
                    at: instant(world.below(3) as i64),
                    error_code: (number % 3 == 0).then(|| ErrorCode::of("blocked")),
                    ..receipt(&theirs(id), status)
                }
            })
            .collect();
        let storing = receipts.iter().enumerate().map(|(number, receipt)| {
            let (node, receipt) = (Arc::clone(&nodes[number % 2]), receipt.clone());
            tokio::spawn(async move { insist!(node.store_receipt(&receipt).await).await })
        });
        for storing in storing.collect::<Vec<_>>() {
            storing.await.unwrap();
        }
        insist!(world.store.match_receipts(NOT_YET, 100).await).await;
        let expected = Delivery::fold(&receipts).unwrap();
        assert_eq!(delivery(&world, id).await.as_ref(), Some(&expected));
        let mut seen = events_of(&world, id).await;
        seen.retain(|kind| matches!(kind, EventType::MessageDelivered | EventType::MessageUndelivered));
        let final_event = match expected.status {
            ReceiptStatus::Sent => None,
            ReceiptStatus::Undelivered => Some(EventType::MessageUndelivered),
            ReceiptStatus::Delivered => Some(EventType::MessageDelivered),
        };
        assert_eq!(seen.last().copied(), final_event);
        seen.dedup();
        assert!(seen.len() <= 2 && seen.iter().filter(|kind| Some(**kind) == final_event).count() <= 1);
    }
}

/// A leased entry stays with its holder, whose settlement applies the receipt.
#[tokio::test]
async fn proof_and_a_claim_at_once_never_take_a_lease_away() {
    let world = World::create(Kind::Postgres).await;
    let [one, two] = world.two_nodes().await;
    for number in 0..MANY {
        let id = world
            .settled(world.outbound(), |held| {
                held.tried(Outcome::Timeout, retry(ALREADY))
            })
            .await;
        let proof = naming(id, ReceiptStatus::Delivered);
        let (claimed, _) = at_once(
            number,
            insist!(claim(&*one, NOT_YET).await),
            insist!(two.store_receipt(&proof).await),
        )
        .await;
        if let [claimed] = &claimed[..] {
            let error = Held::from(claimed).tried(Outcome::Error, retry(NOT_YET));
            let settled = insist!(one.settle(std::slice::from_ref(&error)).await).await;
            assert_eq!(settled, [Settled::Applied]);
        }
        assert_eq!(world.status(id).await, Status::Delivered);
    }
}

#[tokio::test]
async fn proof_and_a_redrive_at_once_end_delivered() {
    let world = World::create(Kind::Postgres).await;
    let [one, two] = world.two_nodes().await;
    for number in 0..MANY {
        let id = world
            .settled(world.outbound(), |held| {
                held.tried(Outcome::Timeout, dead(domain::FailureReason::Exhausted))
            })
            .await;
        let proof = naming(id, ReceiptStatus::Delivered);
        let terms = in_place(NOT_YET, NOT_YET);
        let (redriven, _) = at_once(
            number,
            insist!(one.redrive(id, &terms).await),
            insist!(two.store_receipt(&proof).await),
        )
        .await;
        assert!(matches!(redriven, Redriven::Pending | Redriven::NotFailed));
        assert_eq!(world.status(id).await, Status::Delivered);
        assert!(world.detail(id).await.message.failure.is_none());
    }
}

/// A worker that vanished may have sent the message.
#[tokio::test]
async fn an_expired_lease_is_recorded_before_its_receipt_is_applied() {
    let world = World::create(Kind::Postgres).await;
    let held = world.accept(world.outbound().leased(ALREADY)).await;
    world.claim_one(SMS, Duration::ZERO).await;
    let proof = naming(held, ReceiptStatus::Sent);
    assert_eq!(world.store_receipt(&proof).await, Some(held));
    let detail = world.detail(held).await;
    let outcomes: Vec<_> = detail
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.outcome))
        .collect();
    assert_eq!(outcomes, [(1, Outcome::Unknown), (2, Outcome::Unknown)]);
    assert_eq!(detail.message.status, Status::Dispatched);
}
