use crate::world::World;

pub(crate) async fn twice_is_nothing_the_second_time(world: &World) {
    let id = world.accept(world.outbound()).await;
    assert_eq!(world.store.migrate().await, Ok(vec![]));
    let (one, other) = (world.another_node(), world.another_node());
    assert_eq!(
        tokio::join!(one.migrate(), other.migrate()),
        (Ok(vec![]), Ok(vec![]))
    );
    assert_eq!(world.detail(id).await.message.id, id);
}

pub(crate) async fn answers_a_probe(world: &World) {
    assert_eq!(world.store.probe().await, Ok(()));
}
