use std::sync::Arc;

use tokio::task::JoinSet;
use trunkline_store::{Accept, Accepted};

use crate::{
    builders::{NOT_YET, SMS, request},
    world::World,
};

/// The answer to a repeat of the message with this id.
async fn repeat_of(world: &World, accept: &Accept) -> Accepted {
    let (conversation_id, _) = world.detail(accept.id).await.message.thread.unwrap();
    Accepted::Repeated {
        id: accept.id,
        conversation_id: Some(conversation_id),
        differs: false,
    }
}

pub(crate) async fn a_repeat_in_one_batch_gets_the_first_ones_answer(world: &World) {
    let batch: Vec<Accept> = ["a", "b", "a", "a", "b"]
        .map(|key| world.outbound().key(key).accept())
        .into();
    let answers = world.accept_all(&batch).await;
    assert!(matches!(answers[0], Accepted::New { sequence: 1, .. }));
    assert!(matches!(answers[1], Accepted::New { sequence: 2, .. }));
    let (a, b) = (
        repeat_of(world, &batch[0]).await,
        repeat_of(world, &batch[1]).await,
    );
    assert_eq!(answers[2..], [a, a, b]);
    assert_eq!(world.messages().await.len(), 2);
}

pub(crate) async fn a_repeat_in_a_later_batch_gets_the_first_ones_answer(world: &World) {
    let first = world.outbound().key("k").accept();
    world.accept_all(std::slice::from_ref(&first)).await;
    for _ in 0..3 {
        let again = world.outbound().key("k").accept();
        assert_eq!(world.accept_all(&[again]).await, [repeat_of(world, &first).await]);
    }
    assert_eq!(world.messages().await.len(), 1);
}

pub(crate) async fn a_repeat_on_another_node_gets_the_first_ones_answer(world: &World) {
    let first = world.outbound().key("k").accept();
    world.accept_all(std::slice::from_ref(&first)).await;
    let node = world.another_node();
    let repeat = repeat_of(world, &first).await;
    assert_eq!(
        node.accept(&[world.outbound().key("k").accept()]).await,
        Ok(vec![repeat])
    );
    assert_eq!(node.find_repeated(&request("k", "hello")).await, Ok(Some(repeat)));
}

pub(crate) async fn another_request_with_the_key_is_a_conflict(world: &World) {
    let batch = [
        world.outbound().key("k").body("one").accept(),
        world.outbound().key("k").body("two").accept(),
        world.outbound().key("k").body("one").accept(),
    ];
    let answers = world.accept_all(&batch).await;
    assert_eq!(
        answers[1..],
        [Accepted::KeyConflict, repeat_of(world, &batch[0]).await]
    );
    let later = world.outbound().key("k").body("two").accept();
    assert_eq!(world.accept_all(&[later]).await, [Accepted::KeyConflict]);
    assert_eq!(world.messages().await.len(), 1);
}

pub(crate) async fn repeats_leave_no_trace(world: &World) {
    world.accept(world.outbound().key("k").written(5)).await;
    let before = (world.conversations().await, world.messages().await);
    // A new pair and a later timestamp: neither may show.
    let losers = [
        world.outbound().key("k").between(7, 8).written(99).accept(),
        world.outbound().key("k").body("other").written(99).accept(),
    ];
    world.accept_all(&losers).await;
    assert_eq!((world.conversations().await, world.messages().await), before);
    for loser in &losers {
        assert_eq!(world.store.message(loser.id).await, Ok(None));
    }
    assert_eq!(world.claim(SMS, 10, NOT_YET).await.len(), 1);
    let depths = world.store.queue_depths().await.unwrap();
    assert_eq!((depths[0].leased, depths[0].waiting), (1, 0));
}

pub(crate) async fn new_messages_beside_repeats_have_sequences_without_gaps(world: &World) {
    world.accept(world.outbound().key("taken")).await;
    let batch = [
        world.outbound().key("taken").accept(),
        world.outbound().accept(),
        world.outbound().key("new").accept(),
        world.outbound().key("new").accept(),
        world.outbound().key("taken").body("other").accept(),
        world.outbound().accept(),
    ];
    let answers = world.accept_all(&batch).await;
    let sequences: Vec<Option<u64>> = answers
        .iter()
        .map(|answer| match answer {
            Accepted::New { sequence, .. } => Some(*sequence),
            _ => None,
        })
        .collect();
    assert_eq!(sequences, [None, Some(2), Some(3), None, None, Some(4)]);
    world.check_conversations().await;
}

pub(crate) async fn one_message_per_key_from_two_nodes_at_once(world: &World) {
    let nodes = world.two_nodes().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let node = Arc::clone(&nodes[writer % 2]);
        // Ten keys in random order, most said alike, some not.
        let batches: Vec<Vec<Accept>> = (0..5)
            .map(|round| {
                (0..20)
                    .map(|_| {
                        let key = format!("{round}-{}", world.below(10));
                        let said = if world.below(4) == 0 { "other" } else { "usual" };
                        let pair = world.below(3) as u32;
                        world.outbound().between(pair, 9).key(&key).body(said).accept()
                    })
                    .collect()
            })
            .collect();
        writers.spawn(async move {
            let mut answered = Vec::new();
            for batch in batches {
                let answers = node.accept(&batch).await.unwrap();
                answered.extend(batch.into_iter().zip(answers));
            }
            answered
        });
    }
    let answered: Vec<(Accept, Accepted)> = writers.join_all().await.into_iter().flatten().collect();
    let stored = world.messages().await;
    let mut new = 0;
    for (accept, answer) in &answered {
        let trunkline_store::Kind::Send {
            request: Some(request),
            ..
        } = &accept.kind
        else {
            unreachable!()
        };
        let found = world.store.find_repeated(request).await.unwrap().unwrap();
        match *answer {
            Accepted::New { .. } => {
                new += 1;
                assert_eq!(found, repeat_of(world, accept).await);
            }
            Accepted::Repeated { id, .. } => {
                assert_eq!(found, *answer);
                let winner = stored.iter().find(|message| message.id == id).unwrap();
                assert_eq!(winner.content.body, accept.message.content.body);
            }
            Accepted::KeyConflict => assert_eq!(found, Accepted::KeyConflict),
        }
    }
    assert_eq!((new, stored.len()), (50, 50));
    world.check_conversations().await;
}

pub(crate) async fn an_earlier_request_is_found_by_its_key(world: &World) {
    let first = world.outbound().key("k").body("one").accept();
    assert_eq!(world.store.find_repeated(&request("k", "one")).await, Ok(None));
    world.accept_all(std::slice::from_ref(&first)).await;
    let repeat = repeat_of(world, &first).await;
    assert_eq!(
        world.store.find_repeated(&request("k", "one")).await,
        Ok(Some(repeat))
    );
    let conflict = world.store.find_repeated(&request("k", "two")).await;
    assert_eq!(conflict, Ok(Some(Accepted::KeyConflict)));
    assert_eq!(
        world.store.find_repeated(&request("other", "one")).await,
        Ok(None)
    );
}

pub(crate) async fn keys_differ_by_case(world: &World) {
    let batch = ["key", "KEY", "Key"].map(|key| world.outbound().key(key).accept());
    let answers = world.accept_all(&batch).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Accepted::New { .. }))
    );
}
