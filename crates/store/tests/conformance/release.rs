use domain::{LeaseToken, Outcome};
use trunkline_store::Disposition;

use crate::{
    builders::{ALREADY, NOT_YET, SMS},
    world::World,
};

pub(crate) async fn gives_back_as_if_never_claimed(world: &World) {
    let id = world.accept(world.outbound()).await;
    let before = world.detail(id).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(world.release(&[(id, held.token)]).await, 1);
    assert_eq!(world.detail(id).await, before);

    let again = world.claim(SMS, 10, NOT_YET).await;
    assert!(!again[0].lease_expired);
    assert_eq!(again[0].leased.progress, held.progress);
    assert!(again[0].leased.token > held.token);
}

pub(crate) async fn with_a_stale_token_releases_nothing(world: &World) {
    let id = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(world.release(&[(id, stale.token)]).await, 0);
    assert_eq!(world.release(&[(id, LeaseToken(held.token.0 + 1))]).await, 0);
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    world
        .settle(held.tried(Outcome::Success, Disposition::Finish))
        .await;
    assert_eq!(world.release(&[(id, held.token)]).await, 0);
}

pub(crate) async fn counts_what_was_held(world: &World) {
    let mut leases = Vec::new();
    for _ in 0..3 {
        world.accept(world.outbound()).await;
    }
    for claimed in world.claim(SMS, 2, NOT_YET).await {
        leases.push((claimed.leased.id, claimed.leased.token));
    }
    leases.push((world.mint().0, LeaseToken(1)));
    assert_eq!(world.release(&leases).await, 2);
    assert_eq!(world.release(&leases).await, 0);
    assert_eq!(world.release(&[]).await, 0);
    assert_eq!(world.claim(SMS, 10, NOT_YET).await.len(), 3);
}
