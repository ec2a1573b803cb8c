use domain::{FailureReason, Outcome, Status, Timestamp};
use trunkline_store::Disposition;

use crate::{
    builders::{ALREADY, Held, NOT_YET, SMS, dead, retry},
    world::World,
};

/// Messages that are read while they are settled.
const TORN_ROUNDS: u32 = 400;

pub(crate) async fn of_an_unknown_message_is_none(world: &World) {
    world.accept(world.outbound()).await;
    assert_eq!(world.store.message(world.mint().0).await, Ok(None));
}

pub(crate) async fn shows_when_a_pending_message_is_due(world: &World) {
    let id = world.accept(world.outbound()).await;
    let state = async || {
        let waiting = world.detail(id).await.waiting;
        waiting.map(|waiting| (waiting.due, waiting.leased))
    };
    let due_at = async || -> Timestamp { world.detail(id).await.waiting.unwrap().due_at };
    assert_eq!(state().await, Some((true, false)));
    let first_due = due_at().await;
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!((state().await, due_at().await), (Some((true, true)), first_due));
    world.settle(held.tried(Outcome::Error, retry(ALREADY))).await;
    assert_eq!(state().await, Some((true, false)));
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(held.tried(Outcome::RateLimited, retry(NOT_YET)))
        .await;
    assert_eq!(state().await, Some((false, false)));
    let waits = due_at().await.saturating_since(first_due);
    assert!(waits >= NOT_YET && waits < NOT_YET * 2);

    for disposition in [Disposition::Finish, dead(FailureReason::Rejected)] {
        let id = world
            .settled(world.outbound(), |held| held.untried(disposition.clone()))
            .await;
        assert_eq!(world.detail(id).await.waiting, None);
    }
}

pub(crate) async fn lists_the_attempts_in_order(world: &World) {
    let id = world.accept(world.outbound()).await;
    let mut expected = Vec::new();
    for round in 0..12 {
        let outcome = Outcome::ALL[round % Outcome::ALL.len()];
        let held = world.claim_one(SMS, NOT_YET).await;
        world.settle(held.tried(outcome, retry(ALREADY))).await;
        expected.push((round as u32 + 1, outcome));
    }
    let attempts = world.detail(id).await.attempts;
    assert!(
        attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.outcome))
            .eq(expected)
    );
}

/// A settlement changes the message, its entry and its attempts in one transaction, and a read shows all of it or nothing.
pub(crate) async fn is_one_snapshot(world: &World) {
    let (reader, settler) = (world.another_node(), world.another_node());
    let mut reads = 0_u32;
    for round in 0..TORN_ROUNDS {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        let settlement = Held::at_accept(id).tried(Outcome::Success, Disposition::Finish);
        let settler = std::sync::Arc::clone(&settler);
        let settling = tokio::spawn(async move { settler.settle(&[settlement]).await });
        loop {
            let detail = reader.message(id).await.unwrap().unwrap();
            let final_now = detail.message.status == Status::Dispatched;
            assert_eq!(
                detail.attempts.len(),
                usize::from(final_now),
                "{round}: {detail:?}"
            );
            assert_eq!(detail.waiting.is_none(), final_now, "{round}: {detail:?}");
            reads += 1;
            if final_now {
                break;
            }
            // The model answers at once: without this, no other task would run.
            tokio::task::yield_now().await;
        }
        settling.await.unwrap().unwrap();
    }
    println!("{reads} reads while {TORN_ROUNDS} messages were settled");
}
