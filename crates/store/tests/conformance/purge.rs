use trunkline_store::Accepted;

use crate::{
    builders::{ALREADY, NOT_YET, request},
    world::World,
};

pub(crate) async fn deletes_only_old_keys(world: &World) {
    let id = world.accept(world.outbound().key("k")).await;
    assert_eq!(world.store.purge_idempotency_keys(NOT_YET, 10).await, Ok(0));
    assert!(
        world
            .store
            .find_repeated(&request("k", "hello"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(world.store.purge_idempotency_keys(ALREADY, 10).await, Ok(1));
    assert_eq!(world.store.find_repeated(&request("k", "hello")).await, Ok(None));
    assert_eq!(world.store.purge_idempotency_keys(ALREADY, 10).await, Ok(0));
    assert_eq!(world.detail(id).await.message.id, id);
}

pub(crate) async fn a_deleted_key_is_free(world: &World) {
    world.accept(world.outbound().key("k")).await;
    world.store.purge_idempotency_keys(ALREADY, 10).await.unwrap();
    let answers = world
        .accept_all(&[world.outbound().key("k").body("other").accept()])
        .await;
    assert!(matches!(answers[0], Accepted::New { sequence: 2, .. }));
}

pub(crate) async fn deletes_no_more_than_the_limit(world: &World) {
    for number in 0..5 {
        world.accept(world.outbound().key(&number.to_string())).await;
    }
    let mut forgotten = Vec::new();
    for _ in 0..4 {
        forgotten.push(world.store.purge_idempotency_keys(ALREADY, 2).await.unwrap());
    }
    assert_eq!(forgotten, [2, 2, 1, 0]);
}
