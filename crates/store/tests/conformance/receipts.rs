use domain::{
    Delivery, ErrorCode, EventType, FailureReason, MessageId, Outcome, PageRequest, Receipt, ReceiptStatus,
    Start, Status, Total,
};
use trunkline_store::{RECEIPTS_SHOWN_MAX, Redriven, StoredReceipt};

use crate::{
    builders::{ALREADY, EMAIL, Held, NOT_YET, SMS, dead, in_place, instant, name, retry},
    walks::WALK_MAX,
    world::World,
};

use ReceiptStatus::{Delivered, Sent, Undelivered};

/// A message that the provider took and gave this id.
async fn taken(world: &World, provider_message_id: &str) -> MessageId {
    world
        .settled(world.outbound(), |held| held.taken_as(provider_message_id))
        .await
}

/// Receipts of a listing, the latest first.
pub(crate) async fn listed(world: &World, matched: Option<bool>) -> Vec<StoredReceipt> {
    let mut all = Vec::new();
    let mut start = Start::First;
    loop {
        let page = world
            .store
            .receipts(matched, &PageRequest::new(2, start))
            .await
            .unwrap();
        all.extend(page.items);
        assert!(all.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) => start = Start::After(position),
            None => {
                assert_eq!(page.total, Total::exact(all.len() as u64));
                return all;
            }
        }
    }
}

pub(crate) async fn a_receipt_changes_the_status_and_reads_back(world: &World) {
    for (status, expected, event) in [
        (Sent, Status::Dispatched, None),
        (
            Undelivered,
            Status::Undelivered,
            Some(EventType::MessageUndelivered),
        ),
        (Delivered, Status::Delivered, Some(EventType::MessageDelivered)),
    ] {
        let provider_message_id = format!("Their \"ID\" {status:?} é");
        let id = taken(world, &provider_message_id).await;
        let receipt = Receipt {
            error_code: Some(ErrorCode::of("carrier_said_so")),
            at: instant(12),
            message_id: Some(id),
            ..world.receipt_of(&provider_message_id, status)
        };
        assert_eq!(world.store_receipt(&receipt).await, Some(id));
        let detail = world.detail(id).await;
        assert_eq!(detail.message.status, expected);
        assert_eq!(detail.message.delivery, Some(Delivery::of(&receipt)));
        assert_eq!(detail.receipts, std::slice::from_ref(&receipt));
        let listed = listed(world, None).await;
        assert_eq!((&listed[0].receipt, listed[0].applied_to), (&receipt, Some(id)));
        let mut events = vec![EventType::MessageAccepted, EventType::MessageDispatched];
        events.extend(event);
        assert_eq!(world.events_of(id).await, events);
        assert_eq!(world.messages().await[0], detail.message);
    }
}

/// The status never goes back, and each change of it has one event.
pub(crate) async fn the_greatest_status_counts_and_nothing_goes_back(world: &World) {
    use EventType::{MessageDelivered, MessageUndelivered};
    let cases: [(&[ReceiptStatus], Status, &[EventType], bool); 6] = [
        (&[Delivered, Sent], Status::Delivered, &[MessageDelivered], false),
        (
            &[Sent, Delivered, Delivered],
            Status::Delivered,
            &[MessageDelivered],
            false,
        ),
        (
            &[Delivered, Undelivered],
            Status::Delivered,
            &[MessageDelivered],
            true,
        ),
        (
            &[Undelivered, Delivered],
            Status::Delivered,
            &[MessageUndelivered, MessageDelivered],
            true,
        ),
        (
            &[Undelivered, Sent, Undelivered],
            Status::Undelivered,
            &[MessageUndelivered],
            false,
        ),
        (&[Sent, Sent], Status::Dispatched, &[], false),
    ];
    for (case, (statuses, expected, events, contradicted)) in cases.into_iter().enumerate() {
        let id = taken(world, &format!("p{case}")).await;
        for status in statuses {
            let receipt = world.receipt_of(&format!("p{case}"), *status);
            assert_eq!(world.store_receipt(&receipt).await, Some(id));
        }
        let detail = world.detail(id).await;
        assert_eq!(detail.message.status, expected, "{statuses:?}");
        assert_eq!(
            detail.message.delivery.unwrap().contradicted,
            contradicted,
            "{statuses:?}"
        );
        assert_eq!(detail.receipts.len(), statuses.len());
        assert_eq!(world.events_of(id).await[2..], *events, "{statuses:?}");
    }
}

pub(crate) async fn of_equal_receipts_the_earliest_counts(world: &World) {
    let id = taken(world, "p").await;
    let code = |text: &'static str| Some(ErrorCode::of(text));
    let said = [
        (50, code("b")),
        (20, code("b_c")),
        (20, None),
        (20, code("a")),
        (40, None),
    ];
    for (second, error_code) in said {
        let receipt = Receipt {
            error_code,
            at: instant(second),
            ..world.receipt_of("p", Undelivered)
        };
        world.store_receipt(&receipt).await;
    }
    let delivery = world.detail(id).await.message.delivery.unwrap();
    assert_eq!((delivery.at, delivery.error_code), (instant(20), None));
    // A code sorts after none, and by its bytes: `_` after letters and before none of them.
    let id = taken(world, "q").await;
    for error_code in [code("b_c"), code("bb"), code("b1"), code("b_")] {
        let receipt = Receipt {
            error_code,
            at: instant(20),
            ..world.receipt_of("q", Undelivered)
        };
        world.store_receipt(&receipt).await;
    }
    let delivery = world.detail(id).await.message.delivery.unwrap();
    assert_eq!(delivery.error_code, code("b1"));
}

pub(crate) async fn what_matches_nothing_is_kept_and_listed(world: &World) {
    let id = taken(world, "p").await;
    let (unknown, _) = world.mint();
    let other = Receipt {
        provider: Some(name(EMAIL)),
        ..world.receipt_of("p", Delivered)
    };
    let received = world.accept(world.inbound("p")).await;
    let unmatched = [
        world.receipt_of("q", Delivered),
        world.receipt_of("P", Delivered),
        other,
        world.receipt(Delivered),
        world.receipt_for(unknown, Delivered),
        world.receipt_for(received, Delivered),
    ];
    for receipt in &unmatched {
        assert_eq!(world.store_receipt(receipt).await, None, "{receipt:?}");
    }
    assert_eq!(world.status(id).await, Status::Dispatched);
    assert_eq!(world.match_receipts(NOT_YET, 10).await, 0);
    let mut listed = listed(world, Some(false)).await;
    listed.reverse();
    assert!(listed.is_sorted_by_key(|stored| stored.position));
    assert!(listed.iter().all(|stored| stored.applied_to.is_none()));
    let receipts: Vec<Receipt> = listed.into_iter().map(|stored| stored.receipt).collect();
    assert_eq!(receipts, unmatched);
    assert_eq!(self::listed(world, Some(true)).await, []);
}

pub(crate) async fn without_a_provider_only_an_unambiguous_id_matches(world: &World) {
    let nameless = |id: &str| Receipt {
        provider: None,
        ..world.receipt_of(id, Delivered)
    };
    let only = taken(world, "only").await;
    assert_eq!(world.store_receipt(&nameless("only")).await, Some(only));

    let one = taken(world, "shared").await;
    let other = world
        .settled(world.outbound().by(EMAIL), |held| held.taken_as("shared"))
        .await;
    assert_eq!(world.store_receipt(&nameless("shared")).await, None);
    // The provider decides, or our own id.
    let receipt = world.receipt_of("shared", Delivered);
    assert_eq!(world.store_receipt(&receipt).await, Some(one));
    let echoed = Receipt {
        message_id: Some(other),
        ..nameless("shared")
    };
    assert_eq!(world.store_receipt(&echoed).await, Some(other));

    // Two attempts of one message with one id are unambiguous.
    let twice = world.accept(world.outbound().leased(NOT_YET)).await;
    let first = Held::at_accept(twice).tried_as("twice", Outcome::Timeout, retry(ALREADY));
    world.settle(first).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(held.taken_as("twice")).await;
    assert_eq!(world.store_receipt(&nameless("twice")).await, Some(twice));

    // One provider that used an id for two messages says nothing certain.
    taken(world, "reused").await;
    taken(world, "reused").await;
    assert_eq!(
        world.store_receipt(&world.receipt_of("reused", Delivered)).await,
        None
    );
}

/// Our own id proves that a provider took the message only if it may have.
pub(crate) async fn our_own_id_matches_only_attempts_that_may_have_been_taken(world: &World) {
    for (outcome, matches) in [
        (Outcome::Error, false),
        (Outcome::RateLimited, false),
        (Outcome::Rejected, false),
        (Outcome::Timeout, true),
        (Outcome::Unknown, true),
        (Outcome::Success, true),
    ] {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let untried = world.accept(world.outbound()).await;
        assert_eq!(
            world.store_receipt(&world.receipt_for(untried, Delivered)).await,
            None
        );
        world
            .settle(Held::at_accept(id).tried(outcome, retry(NOT_YET)))
            .await;
        let elsewhere = Receipt {
            provider: Some(name(EMAIL)),
            ..world.receipt_for(id, Delivered)
        };
        assert_eq!(world.store_receipt(&elsewhere).await, None, "{outcome:?}");
        let receipt = world.receipt_for(id, Delivered);
        let expected = matches.then_some(id);
        assert_eq!(world.store_receipt(&receipt).await, expected, "{outcome:?}");
        let nameless = Receipt {
            provider: None,
            ..receipt
        };
        assert_eq!(world.store_receipt(&nameless).await, expected, "{outcome:?}");
        let status = if matches {
            Status::Delivered
        } else {
            Status::Pending
        };
        assert_eq!(world.status(id).await, status, "{outcome:?}");
    }
}

pub(crate) async fn proof_calls_a_retry_off(world: &World) {
    use EventType::{MessageAccepted, MessageDelivered, MessageDispatched};
    for (status, expected, last) in [
        (Sent, Status::Dispatched, None),
        (Delivered, Status::Delivered, Some(MessageDelivered)),
    ] {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        world
            .settle(Held::at_accept(id).tried(Outcome::Timeout, retry(ALREADY)))
            .await;
        assert_eq!(
            world.store_receipt(&world.receipt_for(id, status)).await,
            Some(id)
        );
        let detail = world.detail(id).await;
        assert_eq!((detail.message.status, detail.waiting), (expected, None));
        assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
        let mut events = vec![MessageAccepted, MessageDispatched];
        events.extend(last);
        assert_eq!(world.events_of(id).await, events);
    }
    world.check_conversations().await;
}

pub(crate) async fn proof_brings_a_dead_letter_back(world: &World) {
    use EventType::{MessageAccepted, MessageDispatched, MessageFailed, MessageUndelivered};
    let id = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Timeout, dead(FailureReason::Exhausted))
        })
        .await;
    assert!(world.detail(id).await.message.failure.is_some());
    let receipt = Receipt {
        error_code: Some(ErrorCode::of("blocked")),
        ..world.receipt_for(id, Undelivered)
    };
    assert_eq!(world.store_receipt(&receipt).await, Some(id));
    let message = world.detail(id).await.message;
    assert_eq!((message.status, message.failure), (Status::Undelivered, None));
    let terms = in_place(NOT_YET, NOT_YET);
    assert_eq!(world.store.redrive(id, &terms).await, Ok(Redriven::NotFailed));
    assert!(
        world
            .store
            .queue_depths()
            .await
            .unwrap()
            .iter()
            .all(|depth| depth.dead == 0)
    );
    assert_eq!(
        world.events_of(id).await,
        [
            MessageAccepted,
            MessageFailed,
            MessageDispatched,
            MessageUndelivered
        ]
    );
}

pub(crate) async fn a_message_shows_its_latest_receipts_in_their_order(world: &World) {
    let id = taken(world, "p").await;
    let seconds = 0..RECEIPTS_SHOWN_MAX as i64 + 3;
    for second in seconds.clone() {
        // The order is that in which they came, not that of their times.
        let receipt = Receipt {
            at: instant(1_000 - second),
            received_at: instant(second),
            ..world.receipt_of("p", Sent)
        };
        world.store_receipt(&receipt).await;
    }
    let shown = world.detail(id).await.receipts;
    let shown: Vec<_> = shown.iter().map(|receipt| receipt.received_at).collect();
    assert_eq!(shown, seconds.skip(3).map(instant).collect::<Vec<_>>());
}

pub(crate) async fn a_purge_deletes_only_old_receipts_that_match_nothing(world: &World) {
    let id = taken(world, "p").await;
    world.store_receipt(&world.receipt_of("p", Sent)).await;
    for number in 0..4 {
        world
            .store_receipt(&world.receipt_of(&format!("q{number}"), Sent))
            .await;
    }
    assert_eq!(world.store.purge_receipts(NOT_YET, 10).await, Ok(0));
    world.pass(NOT_YET * 2).await;
    world.store_receipt(&world.receipt_of("new", Sent)).await;
    assert_eq!(world.store.purge_receipts(NOT_YET, 3).await, Ok(3));
    assert_eq!(world.store.purge_receipts(NOT_YET, 3).await, Ok(1));
    assert_eq!(world.store.purge_receipts(NOT_YET, 3).await, Ok(0));
    let left = listed(world, None).await;
    let left: Vec<_> = left
        .iter()
        .map(|stored| (stored.position, stored.applied_to))
        .collect();
    assert_eq!(
        left.iter().map(|(_, to)| *to).collect::<Vec<_>>(),
        [None, Some(id)]
    );
    // Positions are never given twice.
    world.store.purge_receipts(ALREADY, 3).await.unwrap();
    world.store_receipt(&world.receipt_of("newest", Sent)).await;
    assert!(listed(world, None).await[0].position > left[0].0);
}
