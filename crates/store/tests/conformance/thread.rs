use domain::{ConversationId, MessageId, PageRequest, Start, ThreadPosition, Total};

use crate::world::World;

/// Accepts one message per timestamp into one conversation.
async fn conversation(world: &World, written: &[i64]) -> ConversationId {
    let batch: Vec<_> = written
        .iter()
        .map(|seconds| world.outbound().written(*seconds).accept())
        .collect();
    world.accept_all(&batch).await;
    world.detail(batch[0].id).await.message.thread.unwrap().0
}

pub(crate) async fn is_ordered_by_timestamp_then_joining(world: &World) {
    // The last one was written before 1970.
    let id = conversation(world, &[30, 10, 30, 20, 10, -2_000_000_000]).await;
    world.accept(world.outbound().between(7, 8)).await;
    let sequences: Vec<u64> = world
        .thread(id)
        .await
        .iter()
        .map(|message| message.thread.unwrap().1)
        .collect();
    assert_eq!(sequences, [6, 2, 5, 4, 1, 3]);
}

pub(crate) async fn pages_and_cursors_agree(world: &World) {
    let id = conversation(world, &[3, 1, 3, 2, 1, 3, 2]).await;
    let all = world.thread(id).await;
    for size in [1, 2, 3, 7, 8] {
        let mut start = Start::Page(1);
        for (number, expected) in all.chunks(size).enumerate() {
            let numbered = PageRequest::new(size as u32, Start::Page(number as u32 + 1));
            let by_number = world.store.thread(id, &numbered).await.unwrap().unwrap();
            let by_cursor = PageRequest::new(size as u32, start);
            let by_cursor = world.store.thread(id, &by_cursor).await.unwrap().unwrap();
            assert_eq!(by_number, by_cursor);
            assert_eq!(
                (&by_number.items[..], by_number.total),
                (expected, Total::exact(7))
            );
            match by_number.next {
                Some(position) => start = Start::After(position),
                None => assert!((number + 1) * size >= all.len()),
            }
        }
    }
}

pub(crate) async fn a_walk_neither_skips_nor_repeats_what_existed(world: &World) {
    let id = conversation(world, &(0..20).map(|seconds| seconds % 5).collect::<Vec<_>>()).await;
    let existed: Vec<MessageId> = world.thread(id).await.iter().map(|message| message.id).collect();
    let mut seen: Vec<MessageId> = Vec::new();
    let mut start: Start<ThreadPosition> = Start::Page(1);
    loop {
        let page = world
            .store
            .thread(id, &PageRequest::new(3, start))
            .await
            .unwrap()
            .unwrap();
        seen.extend(page.items.iter().map(|message| message.id));
        // Meanwhile messages join with timestamps before and after where the walk stands.
        for seconds in [-1, 2] {
            world.accept(world.outbound().written(seconds)).await;
        }
        match page.next {
            Some(position) if seen.len() < 500 => start = Start::After(position),
            _ => break,
        }
    }
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len());
    let old: Vec<MessageId> = seen.into_iter().filter(|id| existed.contains(id)).collect();
    assert_eq!(old, existed);
}

pub(crate) async fn of_an_unknown_conversation_is_none(world: &World) {
    let id = ConversationId::new(99).unwrap();
    assert_eq!(
        world.store.thread(id, &PageRequest::new(0, Start::Page(1))).await,
        Ok(None)
    );
    assert_eq!(world.store.conversation(id).await, Ok(None));
}
