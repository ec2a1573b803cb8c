//! Listings of a participant with more messages than SQLite collects: it then looks among all messages of their kind.

use domain::{Direction, Message, MessageId, PageRequest, Participant, Start, TOTAL_COUNTED_MAX, Total};
use trunkline_store::{Accept, MessageFilter};

use crate::{
    builders::SMS,
    import::past,
    world::{Kind, World},
};

const MANY: usize = 30_050;
/// One in so many messages is from the customer.
const ANSWERED: usize = 300;

fn phone(number: u32) -> Participant {
    Participant::from_stored(format!("+1201{number:07}"))
}

async fn page(world: &World, filter: &MessageFilter, start: Start<MessageId>) -> (Vec<MessageId>, Total) {
    let page = world
        .store
        .messages(filter, &PageRequest::new(200, start))
        .await
        .unwrap();
    let ids = page.items.iter().map(|message: &Message| message.id);
    (ids.collect(), page.total)
}

#[tokio::test]
async fn participants_and_conversations_with_many_messages_are_listed() {
    let world = World::create(Kind::Sqlite).await;
    let mut accepts: Vec<Accept> = Vec::new();
    for number in 0..MANY {
        let draft = match number % ANSWERED {
            0 => world.inbound(&number.to_string()).between(2, 1),
            _ => world.outbound().between(1, 2),
        };
        accepts.push(draft.accept());
        if number % ANSWERED == 1 {
            accepts.push(world.outbound().between(1, 3).accept());
        }
    }
    for batch in accepts.chunks(2_000) {
        world.accept_all(batch).await;
    }
    // Imported between the same participants, without a conversation.
    let import = past(
        world.outbound().between(1, 2).accept(),
        Direction::Outbound,
        "old",
    );
    let imported = import.id;
    world.store.import(&[import]).await.unwrap();
    let conversation = world.detail(accepts[0].id).await.message.thread.unwrap().0;

    let newest = |wanted: &dyn Fn(&Accept) -> bool| -> Vec<MessageId> {
        accepts
            .iter()
            .rev()
            .filter(|accept| wanted(accept))
            .map(|accept| accept.id)
            .collect()
    };
    let of = |from: Option<u32>, to: Option<u32>| MessageFilter {
        from: from.map(phone),
        to: to.map(phone),
        ..MessageFilter::default()
    };
    let in_conversation = MessageFilter {
        conversation_id: Some(conversation),
        ..MessageFilter::default()
    };
    let capped = Total {
        count: TOTAL_COUNTED_MAX,
        capped: true,
    };
    let from = |accept: &Accept, number: u32| accept.message.from == phone(number);
    let to = |accept: &Accept, number: u32| accept.message.to == phone(number);

    // Sent by the busy one; the import is the newest.
    let (ids, total) = page(&world, &of(Some(1), None), Start::First).await;
    assert_eq!((ids[0], total), (imported, capped));
    assert_eq!(ids[1..], newest(&|accept| from(accept, 1))[..199]);
    let (ids, total) = page(&world, &of(Some(1), Some(2)), Start::First).await;
    assert_eq!((ids[0], total), (imported, capped));
    assert_eq!(
        ids[1..],
        newest(&|accept| from(accept, 1) && to(accept, 2))[..199]
    );
    // Few among the many, read to the end.
    let answers = newest(&|accept| from(accept, 2));
    for filter in [
        of(Some(2), None),
        of(None, Some(1)),
        MessageFilter {
            direction: Some(Direction::Inbound),
            ..in_conversation.clone()
        },
    ] {
        let (ids, total) = page(&world, &filter, Start::First).await;
        assert_eq!(
            (&ids, total),
            (&answers, Total::exact(answers.len() as u64)),
            "{filter:?}"
        );
    }
    // Not the import.
    let (ids, total) = page(&world, &in_conversation, Start::First).await;
    let all = newest(&|accept| !to(accept, 3));
    assert_eq!((&ids[..], total), (&all[..200], capped));
    let (ids, _) = page(&world, &in_conversation, Start::After(all[29_999])).await;
    assert_eq!(ids, all[30_000..]);
    // Another one of the busy one's conversations has few.
    let (ids, total) = page(&world, &of(None, Some(3)), Start::First).await;
    let few = newest(&|accept| to(accept, 3));
    assert_eq!((&ids, total), (&few, Total::exact(few.len() as u64)));
    let filter = MessageFilter {
        provider: Some(crate::builders::name(SMS)),
        since: Some(accepts[accepts.len() - 5].processed_at),
        ..of(Some(1), None)
    };
    let (ids, _) = page(&world, &filter, Start::First).await;
    assert_eq!(ids.len(), 6);
}
