use std::sync::Arc;

use domain::{EventId, LeaseToken};
use trunkline_store::{Checkpoint, EndpointChange, ReplayFrom, Store};

use crate::{
    builders::{ALREADY, NOT_YET},
    webhooks::{checkpoint, created, lease, lease_one, save, secret},
    world::World,
};

pub(crate) async fn one_node_at_a_time_holds_a_lease(world: &World) {
    let endpoint = created(world).await;
    let disabled = created(world).await;
    let change = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    world.store.change_endpoint(disabled.id, &change).await.unwrap();
    let first = lease(world, ALREADY).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].endpoint, endpoint);
    // It expired at once.
    let second = lease_one(world).await;
    assert!(second.token > first[0].token);
    assert_eq!(lease(world, NOT_YET).await, []);
    // What lost its lease changes nothing.
    assert!(!save(world, &checkpoint(&first[0])).await);
    world
        .store
        .release_endpoint(endpoint.id, first[0].token)
        .await
        .unwrap();
    assert_eq!(lease(world, NOT_YET).await, []);
    assert!(save(world, &checkpoint(&second)).await);
    world
        .store
        .release_endpoint(endpoint.id, second.token)
        .await
        .unwrap();
    assert!(!save(world, &checkpoint(&second)).await);
    let third = lease_one(world).await;
    assert!(third.token > second.token);
    // A checkpoint renews the lease from then on.
    let renewed = Checkpoint {
        lease: NOT_YET * 3,
        ..checkpoint(&third)
    };
    assert!(save(world, &renewed).await);
    world.pass(NOT_YET * 2).await;
    assert_eq!(lease(world, NOT_YET).await, []);
    world.pass(NOT_YET * 2).await;
    // An expired lease is valid until the next.
    assert!(save(world, &checkpoint(&third)).await);
    world.pass(NOT_YET * 2).await;
    let fourth = lease_one(world).await;
    assert!(!save(world, &checkpoint(&third)).await);
    assert!(save(world, &checkpoint(&fourth)).await);
    let (unknown, _) = world.mint();
    let nothing = Checkpoint {
        id: unknown.as_uuid().into(),
        ..checkpoint(&fourth)
    };
    assert!(!save(world, &nothing).await);
}

pub(crate) async fn concurrent_leases_never_share_an_endpoint(world: &World) {
    for _ in 0..8 {
        created(world).await;
    }
    let [one, other] = world.two_nodes().await;
    let leasing = |store: Arc<dyn Store>| {
        tokio::spawn(async move {
            let mut leased = Vec::new();
            for _ in 0..8 {
                leased.extend(store.lease_endpoints(NOT_YET, 1).await.unwrap());
                tokio::task::yield_now().await;
            }
            leased
        })
    };
    let (one, other) = (leasing(one), leasing(other));
    let mut leased = one.await.unwrap();
    leased.extend(other.await.unwrap());
    let mut ids: Vec<_> = leased.iter().map(|leased| leased.endpoint.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), leased.len()), (8, 8));
}

/// So that the holder reads the endpoint again.
pub(crate) async fn every_change_takes_the_lease_away(world: &World) {
    let id = created(world).await.id;
    let after = ReplayFrom::After(EventId::START);
    for step in 0..5 {
        let leased = lease_one(world).await;
        match step {
            0 => {
                world
                    .store
                    .change_endpoint(id, &EndpointChange::default())
                    .await
                    .unwrap();
            }
            1 => {
                let change = EndpointChange {
                    rotate: Some((secret(9), NOT_YET)),
                    ..EndpointChange::default()
                };
                world.store.change_endpoint(id, &change).await.unwrap();
            }
            2 => {
                world.store.replay(id, after).await.unwrap();
            }
            3 => {
                world.store.replay(id, ReplayFrom::Failed).await.unwrap();
            }
            _ => {
                world.store.delete_endpoint(id).await.unwrap();
            }
        }
        assert!(!save(world, &checkpoint(&leased)).await, "step {step}");
        let guessed = Checkpoint {
            token: LeaseToken(leased.token.0 + 1),
            ..checkpoint(&leased)
        };
        assert!(!save(world, &guessed).await, "step {step}");
    }
    assert_eq!(lease(world, NOT_YET).await, []);
}

pub(crate) async fn no_more_than_the_limit_are_leased_at_once(world: &World) {
    for _ in 0..3 {
        created(world).await;
    }
    let mut leased = world.store.lease_endpoints(NOT_YET, 2).await.unwrap();
    assert_eq!(leased.len(), 2);
    leased.extend(world.store.lease_endpoints(NOT_YET, 2).await.unwrap());
    leased.sort_by_key(|leased| leased.endpoint.id);
    leased.dedup_by_key(|leased| leased.endpoint.id);
    assert_eq!(leased.len(), 3);
}
