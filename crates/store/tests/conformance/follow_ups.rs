use std::{collections::BTreeSet, time::Duration};

use domain::{Body, ErrorCode, FailureReason, FollowUp, FollowUpAction, Outcome, ReceiptStatus};
use trunkline_store::{
    Disposition, DueFollowUp, FollowUpKey, Settled, Settlement, Store, StoreError, TakenFollowUps,
};

use crate::{
    builders::{ALREADY, Held, NOT_YET, PROVIDER_ID, SMS, dead, name, reroute, retry},
    world::World,
};

pub(crate) fn receipt(after: Duration) -> FollowUp {
    FollowUp {
        after,
        action: FollowUpAction::Receipt {
            status: ReceiptStatus::Undelivered,
            error_code: Some(ErrorCode::of("blocked")),
        },
    }
}

pub(crate) fn reply(after: Duration, body: &str) -> FollowUp {
    let body = Body::new(body).unwrap();
    FollowUp {
        after,
        action: FollowUpAction::Reply { body },
    }
}

fn taken(held: &Held, follow_ups: &[FollowUp]) -> Settlement {
    Settlement {
        follow_ups: follow_ups.to_vec(),
        ..held.tried(Outcome::Success, Disposition::Finish)
    }
}

async fn take(store: &dyn Store, limit: u32, lease: Duration) -> TakenFollowUps {
    store.take_follow_ups(limit, lease).await.unwrap()
}

fn keys(taken: &TakenFollowUps) -> Vec<FollowUpKey> {
    taken.due.iter().map(|follow_up| follow_up.key).collect()
}

pub(crate) async fn a_settlement_stores_them_and_they_come_when_they_are_due(world: &World) {
    assert_eq!(
        take(&*world.store, 10, NOT_YET).await,
        TakenFollowUps::default(),
        "nothing at first"
    );
    let body = "\u{e9} \"quoted\"\r\n\u{1}\\u0000";
    let follow_ups = [receipt(ALREADY), reply(ALREADY, body), reply(NOT_YET, "late")];
    let id = world
        .settled(world.outbound(), |held| taken(held, &follow_ups))
        .await;
    let TakenFollowUps { due, next_in } = take(&*world.store, 10, NOT_YET * 2).await;
    let next_in = next_in.unwrap();
    assert!(next_in <= NOT_YET && next_in > NOT_YET / 2, "{next_in:?}");
    assert_eq!(due.len(), 2, "{due:?}");
    for (place, (follow_up, expected)) in (0..).zip(due.iter().zip(&follow_ups)) {
        let expected = DueFollowUp {
            key: FollowUpKey {
                message_id: id,
                attempt: 1,
                place,
            },
            provider: name(SMS),
            provider_message_id: Some(PROVIDER_ID.parse().unwrap()),
            due_at: due[0].due_at,
            action: expected.action.clone(),
        };
        assert_eq!(*follow_up, expected);
    }
    world.pass(NOT_YET).await;
    let late = take(&*world.store, 10, NOT_YET).await;
    assert_eq!(late.due.len(), 1, "{late:?}");
    assert_eq!(late.due[0].action, follow_ups[2].action);
}

pub(crate) async fn an_attempt_without_an_answer_has_them_too(world: &World) {
    let id = world.accept(world.outbound()).await;
    for attempt in [1, 2] {
        let held = world.claim_one(SMS, NOT_YET).await;
        let settlement = Settlement {
            follow_ups: vec![receipt(ALREADY)],
            ..held.tried(Outcome::Timeout, retry(ALREADY))
        };
        world.settle(settlement).await;
        let TakenFollowUps { due, .. } = take(&*world.store, 10, NOT_YET).await;
        let [follow_up] = &due[..] else { panic!("{due:?}") };
        let found = (follow_up.key.message_id, follow_up.key.attempt);
        assert_eq!(found, (id, attempt));
        assert_eq!(follow_up.provider_message_id, None);
    }
}

pub(crate) async fn what_is_taken_comes_again_after_its_lease_until_it_is_done(world: &World) {
    let both = [receipt(ALREADY), reply(ALREADY, "YES")];
    world.settled(world.outbound(), |held| taken(held, &both)).await;
    let first = take(&*world.store, 10, ALREADY).await;
    assert_eq!(first.due.len(), 2);
    let again = take(&*world.another_node(), 10, NOT_YET).await;
    assert_eq!(again.due, first.due, "its lease is over");
    let none = take(&*world.another_node(), 10, NOT_YET).await;
    assert_eq!(none.due, []);
    assert!(none.next_in.is_some_and(|next_in| next_in <= NOT_YET), "{none:?}");

    world.store.finish_follow_ups(&keys(&first)[..1]).await.unwrap();
    world.pass(NOT_YET).await;
    let left = take(&*world.store, 10, ALREADY).await;
    assert_eq!(keys(&left), keys(&first)[1..]);
    // Again, because a node may perform what another one did.
    world.store.finish_follow_ups(&keys(&first)).await.unwrap();
    world.store.finish_follow_ups(&[]).await.unwrap();
    assert_eq!(take(&*world.store, 10, NOT_YET).await, TakenFollowUps::default());
}

pub(crate) async fn the_earliest_are_taken_first_up_to_the_limit(world: &World) {
    let hour = Duration::from_secs(3_600);
    for hours in [3, 1, 2] {
        let follow_up = reply(hour * hours, &hours.to_string());
        world
            .settled(world.outbound(), |held| {
                taken(held, std::slice::from_ref(&follow_up))
            })
            .await;
    }
    world.pass(hour * 4).await;
    assert_eq!(take(&*world.store, 0, NOT_YET).await.due, []);
    for expected in [&["1", "2"][..], &["3"], &[]] {
        let due = take(&*world.store, 2, NOT_YET).await.due;
        let bodies: Vec<&str> = due
            .iter()
            .map(|follow_up| match &follow_up.action {
                FollowUpAction::Reply { body } => body.as_str(),
                FollowUpAction::Receipt { .. } => "a receipt",
            })
            .collect();
        assert_eq!(bodies, expected);
    }
}

pub(crate) async fn only_what_takes_effect_stores_them_and_once(world: &World) {
    let id = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let follow_ups = [receipt(ALREADY)];
    assert_eq!(world.settle(taken(&stale, &follow_ups)).await, Settled::LeaseLost);
    let refused = Settlement {
        follow_ups: follow_ups.to_vec(),
        ..held.tried(Outcome::Timeout, reroute("backup"))
    };
    assert_eq!(world.settle(refused).await, Settled::RerouteRefused);
    let none = take(&*world.store, 10, ALREADY).await;
    assert_eq!(none, TakenFollowUps::default());

    let settlement = taken(&held, &follow_ups);
    for _ in 0..2 {
        assert_eq!(world.settle(settlement.clone()).await, Settled::Applied);
    }
    let due = take(&*world.store, 10, NOT_YET).await.due;
    let [follow_up] = &due[..] else { panic!("{due:?}") };
    let expected = FollowUpKey {
        message_id: id,
        attempt: 2,
        place: 0,
    };
    assert_eq!(follow_up.key, expected);
}

pub(crate) async fn an_untried_settlement_stores_them_for_the_last_attempt(world: &World) {
    let id = world.accept(world.outbound()).await;
    world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let settlement = Settlement {
        follow_ups: vec![receipt(ALREADY)],
        ..held.untried(Disposition::Finish)
    };
    world.settle(settlement).await;
    let due = take(&*world.store, 10, NOT_YET).await.due;
    assert_eq!((due[0].key.message_id, due[0].key.attempt, due.len()), (id, 1, 1));
}

pub(crate) async fn each_is_taken_once_by_two_nodes_at_once(world: &World) {
    let follow_ups: Vec<FollowUp> = (0..30).map(|_| receipt(ALREADY)).collect();
    for _ in 0..4 {
        world
            .settled(world.outbound(), |held| taken(held, &follow_ups))
            .await;
    }
    let [one, other] = world.two_nodes().await;
    let all = async |store: &dyn Store| -> Result<Vec<FollowUpKey>, StoreError> {
        let mut all = Vec::new();
        loop {
            let taken = insist!(store.take_follow_ups(7, NOT_YET).await).await;
            if taken.due.is_empty() {
                return Ok(all);
            }
            all.extend(keys(&taken));
            assert!(all.len() <= 120, "taken again");
        }
    };
    let (ours, theirs) = tokio::join!(all(&*one), all(&*other));
    let mut all: Vec<FollowUpKey> = ours.unwrap();
    all.extend(theirs.unwrap());
    // What one skips because the other is taking it may be left for later, if that one loses its answer.
    let distinct: BTreeSet<FollowUpKey> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (120, 120));
}

pub(crate) async fn many_settlements_of_one_batch_store_theirs(world: &World) {
    let mut batch = Vec::new();
    let mut expected = Vec::new();
    for number in 0..20 {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let held = Held::at_accept(id);
        let body = number.to_string();
        batch.push(match number % 3 {
            0 => taken(&held, &[reply(ALREADY, &body)]),
            1 => held.tried(Outcome::Success, Disposition::Finish),
            _ => held.tried(Outcome::Error, dead(FailureReason::Exhausted)),
        });
        if number % 3 == 0 {
            expected.push((id, body));
        }
    }
    let settled = world.store.settle(&batch).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Applied));
    let due = take(&*world.store, 100, NOT_YET).await.due;
    let found: Vec<_> = due
        .iter()
        .map(|follow_up| match &follow_up.action {
            FollowUpAction::Reply { body } => (follow_up.key.message_id, body.as_str().to_owned()),
            FollowUpAction::Receipt { .. } => panic!("{follow_up:?}"),
        })
        .collect();
    assert_eq!(found, expected);
}
