//! Cancellations against what happens to their message at the same time. Row locks decide.

use domain::{EventType, Status};
use trunkline_store::Canceled;

use crate::{
    builders::{NOT_YET, SMS},
    postgres_receipts::{at_once, events_of},
    postgres_row_locks::{claim, claimed_by_another, run},
    world::{Kind, World},
};

/// Messages of a test that leaves the order to chance.
const MANY: usize = 60;

#[tokio::test]
async fn a_cancel_that_waited_for_a_claim_cancels_nothing() {
    run(async |race| {
        let held = race.vanished(NOT_YET).await;
        let id = held.id;
        let canceled = race
            .behind(&claimed_by_another(held), async move |store| {
                store.cancel(id).await
            })
            .await?;
        assert_eq!(canceled, Canceled::NotCancelable);
        assert!(
            race.world
                .detail(id)
                .await
                .waiting
                .is_some_and(|waiting| waiting.leased)
        );
        Ok(())
    })
    .await;
}

/// Between the beginning of the cancel and its lock, the message was claimed and its call timed out.
#[tokio::test]
async fn a_cancel_that_waited_for_a_timeout_cancels_nothing() {
    run(async |race| {
        // A redrive forgets the timeout in the entry, but not in the attempts.
        for unsure in [true, false] {
            let id = race.world.accept(race.world.outbound()).await;
            let timed_out = format!(
                "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
                     values ('{id}', 1, 1, '{SMS}', 'timeout', now(), 0);
                 update outbox set lease_token = 1, attempts = 1, unsure = {unsure} where message_id = '{id}'"
            );
            let canceled = race
                .behind(&timed_out, async move |store| store.cancel(id).await)
                .await?;
            assert_eq!(canceled, Canceled::NotCancelable);
            assert_eq!(race.world.status(id).await, Status::Pending);
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn of_two_cancels_at_once_one_cancels_and_both_succeed() {
    run(async |race| {
        let id = race.world.accept(race.world.outbound()).await;
        let other = race.world.another_node();
        let hold = format!("select from outbox where message_id = '{id}' for update");
        let (first, second) = race
            .behind(&hold, async move |store| {
                tokio::join!(store.cancel(id), other.cancel(id))
            })
            .await;
        let mut canceled = [first?, second?].map(|canceled| canceled == Canceled::Canceled { now: true });
        canceled.sort_unstable();
        assert_eq!(canceled, [false, true]);
        assert_eq!(
            race.world.store.cancel(id).await?,
            Canceled::Canceled { now: false }
        );
        let canceled = events_of(&race.world, id).await;
        let canceled = canceled
            .iter()
            .filter(|kind| **kind == EventType::MessageCanceled);
        assert_eq!(canceled.count(), 1);
        Ok(())
    })
    .await;
}

/// Each success was never claimed, each refusal was.
#[tokio::test]
async fn of_a_cancel_and_a_claim_at_once_exactly_one_wins() {
    let world = World::create(Kind::Postgres).await;
    let [one, two] = world.two_nodes().await;
    for number in 0..MANY {
        let id = world.accept(world.outbound()).await;
        let (claimed, canceled) = at_once(
            number,
            insist!(claim(&*one, NOT_YET).await),
            insist!(two.cancel(id).await),
        )
        .await;
        let canceled = matches!(canceled, Canceled::Canceled { .. });
        assert_eq!(claimed.is_empty(), canceled);
        let expected = if canceled {
            Status::Canceled
        } else {
            Status::Pending
        };
        assert_eq!(world.status(id).await, expected);
    }
}
