use std::time::Duration;

use domain::{FailureReason, Outcome};
use trunkline_store::{Disposition, QueueDepth};

use crate::{
    builders::{EMAIL, NOT_YET, SMS, dead, name, retry},
    world::World,
};

pub(crate) async fn count_by_provider_and_state(world: &World) {
    assert_eq!(world.store.queue_depths().await, Ok(vec![]));
    world.accept(world.inbound("p")).await;
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Success, Disposition::Finish)
        })
        .await;
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, dead(FailureReason::Poison))
        })
        .await;
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    for _ in 0..2 {
        world.accept(world.outbound()).await;
    }
    world.accept(world.outbound().leased(NOT_YET)).await;
    world
        .accept(
            world
                .outbound()
                .email("a@example.com", "b@example.com")
                .leased(NOT_YET),
        )
        .await;
    let depths: Vec<QueueDepth> = world
        .store
        .queue_depths()
        .await
        .unwrap()
        .into_iter()
        .map(|depth| QueueDepth {
            oldest: Duration::ZERO,
            ..depth
        })
        .collect();
    let depth = |provider, waiting, leased, dead| QueueDepth {
        provider: name(provider),
        waiting,
        leased,
        dead,
        capped: false,
        oldest: Duration::ZERO,
    };
    assert_eq!(depths, [depth(EMAIL, 0, 1, 0), depth(SMS, 3, 1, 1)]);
}

pub(crate) async fn have_the_age_of_the_oldest_entry(world: &World) {
    let oldest = async || world.store.queue_depths().await.unwrap()[0].oldest;
    // Neither a dead letter nor one that waits for its time is due.
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, dead(FailureReason::Poison))
        })
        .await;
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    world.clock.advance(Duration::from_millis(7));
    assert_eq!(oldest().await, Duration::ZERO);
    world.accept(world.outbound()).await;
    world.clock.advance(Duration::from_millis(7));
    // PostgreSQL's own clock has moved by less, but not by an hour.
    assert!(oldest().await < NOT_YET);
}
