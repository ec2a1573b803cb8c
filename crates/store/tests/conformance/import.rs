use domain::{Address, ConversationKey, Direction, MessageId, ProviderMessageId, Status};
use trunkline_store::{Accept, Accepted, Assigned, Import, Store, WithoutConversation};

use crate::{
    builders::{NOT_YET, SMS, instant},
    world::World,
};

fn id(text: &str) -> ProviderMessageId {
    text.parse().unwrap()
}

/// The past message that says what `accept` does.
pub(crate) fn past(accept: Accept, direction: Direction, provider_message_id: &str) -> Import {
    Import {
        id: accept.id,
        direction,
        message: accept.message,
        processed_at: accept.processed_at,
        provider: accept.provider,
        provider_message_id: id(provider_message_id),
        payload: r#"{"from":"elsewhere"}"#.into(),
    }
}

/// Where a message belongs.
pub(crate) fn key_of(message: &WithoutConversation) -> (MessageId, ConversationKey) {
    let WithoutConversation {
        id,
        channel,
        from,
        to,
    } = message;
    let from = Address::sender(*channel, from.as_str(), None).unwrap();
    let to = Address::recipient(*channel, to.as_str(), None).unwrap();
    let key = ConversationKey::new(channel.conversation(), from.participant, to.participant);
    (*id, key)
}

async fn backlog(store: &dyn Store) -> Vec<(MessageId, ConversationKey)> {
    let without_conversation = store.without_conversation(None, 1_000).await.unwrap();
    without_conversation.iter().map(key_of).collect()
}

pub(crate) async fn an_import_is_final_and_has_no_conversation_yet(world: &World) {
    let sent = past(world.outbound().accept(), Direction::Outbound, "sent");
    let received = past(world.outbound().accept(), Direction::Inbound, "received");
    let batch = [sent.clone(), received.clone()];
    assert_eq!(world.store.import(&batch).await, Ok(2));
    for (import, status) in [(sent, Status::Dispatched), (received, Status::Received)] {
        let detail = world.detail(import.id).await;
        assert_eq!((detail.attempts, detail.waiting), (vec![], None));
        let message = detail.message;
        assert_eq!((message.status, message.direction), (status, import.direction));
        assert_eq!((message.thread, message.failure), (None, None));
        assert_eq!(
            (&message.content, message.timestamp),
            (&*import.message.content, import.timestamp())
        );
        assert_eq!(message.provider, Some(import.provider));
    }
    assert_eq!(world.conversations().await, []);
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    assert_eq!(world.store.queue_depths().await, Ok(vec![]));
    assert_eq!(world.store.count_without_conversation().await, Ok(2));
}

pub(crate) async fn an_import_is_recognized_by_its_provider_message_id(world: &World) {
    let import =
        |provider_message_id| past(world.outbound().accept(), Direction::Inbound, provider_message_id);
    let batch = [import("a"), import("b"), import("a")];
    assert_eq!(world.store.import(&batch).await, Ok(2));
    assert_eq!(
        world.another_node().import(&[import("b"), import("c")]).await,
        Ok(1)
    );

    // A provider that brings it again gets the imported message, which has no conversation yet …
    let repeat = world.inbound("a").accept();
    let imported = Accepted::Repeated {
        id: batch[0].id,
        conversation_id: None,
        differs: false,
    };
    assert_eq!(world.accept_all(std::slice::from_ref(&repeat)).await, [imported]);
    assert_eq!(
        world.store.find_accepted(&[repeat]).await,
        Ok(vec![Some(imported)])
    );
    // … and what a provider brought is not imported again.
    world.accept(world.inbound("d")).await;
    assert_eq!(world.store.import(&[import("d")]).await, Ok(0));
    assert_eq!(world.messages().await.len(), 4);
}

pub(crate) async fn messages_without_a_conversation_come_in_order_and_in_pages(world: &World) {
    let mut imported = Vec::new();
    for number in 0..5 {
        let import = past(
            world.outbound().between(7, number).accept(),
            Direction::Outbound,
            &number.to_string(),
        );
        imported.push(import.id);
        assert_eq!(world.store.import(&[import]).await, Ok(1));
    }
    let ids = |without_conversation: Vec<WithoutConversation>| {
        without_conversation
            .iter()
            .map(|message| message.id)
            .collect::<Vec<_>>()
    };
    let first = ids(world.store.without_conversation(None, 3).await.unwrap());
    assert_eq!(first, imported[..3]);
    let second = ids(world
        .store
        .without_conversation(first.last().copied(), 3)
        .await
        .unwrap());
    assert_eq!(second, imported[3..]);
}

pub(crate) async fn an_assigned_message_joins_its_conversation(world: &World) {
    world.accept(world.outbound().between(1, 2).written(50)).await;
    for (number, (from, to, written)) in [(2, 1, 90), (1, 3, 20), (1, 2, 10)].into_iter().enumerate() {
        let accept = world.outbound().between(from, to).written(written).accept();
        let import = past(accept, Direction::Inbound, &number.to_string());
        assert_eq!(world.store.import(&[import]).await, Ok(1));
    }
    let backlog = backlog(&*world.store).await;
    let assigned = Assigned {
        messages: 3,
        conversations: 1,
    };
    assert_eq!(world.store.assign(&backlog).await, Ok(assigned));
    assert_eq!(world.store.assign(&backlog).await, Ok(Assigned::default()));
    assert_eq!(world.store.count_without_conversation().await, Ok(0));
    let conversations = world.conversations().await;
    let told: Vec<_> = conversations
        .iter()
        .map(|conversation| (conversation.message_count, conversation.last_activity_at))
        .collect();
    assert_eq!(told, [(3, instant(90)), (1, instant(20))]);
    world.check_conversations().await;
    // What comes next goes on counting.
    let next = world.accept(world.outbound().between(1, 2)).await;
    assert_eq!(
        world.detail(next).await.message.thread,
        Some((conversations[0].id, 4))
    );
    let repeat = world.inbound("0").between(2, 1).accept();
    let again = world.accept_all(&[repeat]).await;
    assert!(matches!(
        again[..],
        [Accepted::Repeated {
            conversation_id: Some(_),
            ..
        }]
    ));
}

pub(crate) async fn an_import_with_other_participants_is_another_message(world: &World) {
    let import = |from, to| {
        past(
            world.outbound().between(from, to).accept(),
            Direction::Inbound,
            "a",
        )
    };
    let batch = [import(1, 2), import(1, 3), import(1, 2), import(2, 1)];
    assert_eq!(world.store.import(&batch).await, Ok(3));
    assert_eq!(world.store.import(&[import(1, 3), import(3, 1)]).await, Ok(1));
    let other = world.inbound("a").between(2, 3).accept();
    let repeat = world.inbound("a").between(1, 3).accept();
    let answers = world.accept_all(&[other, repeat]).await;
    assert!(matches!(
        answers[..],
        [Accepted::New { .. }, Accepted::Repeated { id, .. }] if id == batch[1].id
    ));
}

/// Two backfills and new messages at once: everything counts once.
pub(crate) async fn assignments_and_accepts_at_once_count_exactly(world: &World) {
    let mut batch = Vec::new();
    for number in 0..60 {
        let accept = world.outbound().between(number % 5, 9).accept();
        batch.push(past(accept, Direction::Outbound, &number.to_string()));
    }
    assert_eq!(world.store.import(&batch).await, Ok(60));
    let backlog = backlog(&*world.store).await;
    let [one, other] = world.two_nodes().await;
    let accepts: Vec<Accept> = (0..60)
        .map(|number| world.outbound().between(number % 5, 9).accept())
        .collect();
    let half = backlog.len() / 2;
    let (first, second, third) = tokio::join!(
        async {
            let first = one.assign(&backlog[..half + 10]).await.unwrap();
            first.messages + one.assign(&backlog[half + 10..]).await.unwrap().messages
        },
        async {
            let first = other.assign(&backlog[half - 10..]).await.unwrap();
            first.messages + other.assign(&backlog[..half - 10]).await.unwrap().messages
        },
        async {
            for part in accepts.chunks(6) {
                world.store.accept(part).await.unwrap();
            }
        },
    );
    assert_eq!((first + second, third), (60, ()));
    assert_eq!(world.store.count_without_conversation().await, Ok(0));
    let counts: Vec<u64> = world
        .conversations()
        .await
        .iter()
        .map(|conversation| conversation.message_count)
        .collect();
    assert_eq!(counts, [24; 5]);
    world.check_conversations().await;
}
