use domain::{
    ConversationId, Direction, Message, MessageId, Outcome, PageRequest, Start, Status, ThreadPosition,
};
use trunkline_store::{ConversationFilter, Disposition, MessageDetail};

use crate::{
    builders::NOT_YET,
    import::{key_of, past},
    world::World,
};

/// The last message of every conversation, after a check that both reads agree.
async fn last_messages(world: &World) -> Vec<(ConversationId, Message)> {
    let page = PageRequest::new(200, Start::First);
    let page = world
        .store
        .conversations(&ConversationFilter::default(), &page)
        .await
        .unwrap();
    let mut last = Vec::new();
    for listed in page.items {
        let id = listed.conversation.id;
        let alone = world.store.conversation(id).await.unwrap();
        assert_eq!(alone.as_ref(), Some(&listed));
        let message = listed.last_message.unwrap();
        assert_eq!(message, world.detail(message.id).await.message);
        assert_eq!(message.thread.map(|(conversation, _)| conversation), Some(id));
        let thread = world.thread(id).await;
        assert_eq!(thread.last(), Some(&message));
        assert!(thread.is_sorted_by_key(ThreadPosition::of));
        last.push((id, message));
    }
    last
}

async fn only(world: &World) -> (MessageId, Status) {
    let last = last_messages(world).await;
    assert_eq!(last.len(), 1);
    (last[0].1.id, last[0].1.status)
}

pub(crate) async fn is_the_last_of_the_thread(world: &World) {
    let first = world.accept(world.outbound().written(50)).await;
    assert_eq!(only(world).await, (first, Status::Pending));
    // Written earlier, so it is not the last.
    world.accept(world.inbound("p").between(1, 0).written(40)).await;
    assert_eq!(only(world).await.0, first);
    // Of equal times the last to join counts.
    let equal = world.accept(world.inbound("q").between(1, 0).written(50)).await;
    assert_eq!(only(world).await, (equal, Status::Received));
    let scheduled = world.accept(world.outbound().send_in(NOT_YET)).await;
    world.accept(world.outbound()).await;
    assert_eq!(only(world).await, (scheduled, Status::Scheduled));
    world.store.cancel(scheduled).await.unwrap();
    assert_eq!(only(world).await, (scheduled, Status::Canceled));
}

pub(crate) async fn each_conversation_has_its_own(world: &World) {
    let mut expected = Vec::new();
    for pair in 1..8 {
        for written in [pair, 20 - pair] {
            let draft = world.outbound().between(0, pair as u32).written(written);
            let id = world
                .settled(draft, |held| held.tried(Outcome::Success, Disposition::Finish))
                .await;
            expected.push((written, id));
        }
    }
    let last = last_messages(world).await;
    assert_eq!(last.len(), 7);
    for (_, message) in last {
        let place = expected.iter().position(|(_, id)| *id == message.id).unwrap();
        // The second of each pair was written later.
        assert_eq!(place % 2, 1);
        assert_eq!(message.status, Status::Dispatched);
    }
}

pub(crate) async fn an_assigned_message_can_be_the_last(world: &World) {
    world.accept(world.outbound().written(10)).await;
    let import = past(world.outbound().written(30).accept(), Direction::Inbound, "old");
    let id = import.id;
    world.store.import(&[import]).await.unwrap();
    let unassigned = world.store.without_conversation(None, 10).await.unwrap();
    let assigned: Vec<_> = unassigned.iter().map(key_of).collect();
    world.store.assign(&assigned).await.unwrap();
    assert_eq!(only(world).await, (id, Status::Received));
    world.check_conversations().await;
}

pub(crate) async fn several_details_come_in_one_call(world: &World) {
    let one = world.accept(world.outbound().metadata(&[("a", "b")])).await;
    let other = world.settled(world.outbound(), |held| held.taken_as("p")).await;
    let receipt = world.receipt_of("p", domain::ReceiptStatus::Delivered);
    world.store_receipt(&receipt).await;
    let received = world.accept(world.inbound("q")).await;
    let (unknown, _) = world.mint();
    let ids = [other, unknown, received, one];
    let mut found = world.store.message_details(&ids).await.unwrap();
    found.sort_by_key(|detail| detail.message.id);
    let expected: Vec<MessageDetail> = [
        world.detail(one).await,
        world.detail(other).await,
        world.detail(received).await,
    ]
    .into();
    assert_eq!(found, expected);
    assert_eq!(world.store.message_details(&[]).await, Ok(Vec::new()));
}
