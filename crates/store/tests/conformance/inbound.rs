use std::{collections::BTreeSet, sync::Arc};

use domain::{Direction, Status};
use tokio::task::JoinSet;
use trunkline_store::{Accept, Accepted};

use crate::{
    builders::{Draft, EMAIL, NOT_YET, SMS},
    world::World,
};

pub(crate) async fn is_received_and_never_queued(world: &World) {
    let id = world.accept(world.inbound("p")).await;
    let detail = world.detail(id).await;
    assert_eq!(
        (detail.message.direction, detail.message.status),
        (Direction::Inbound, Status::Received)
    );
    assert_eq!((detail.attempts, detail.waiting), (vec![], None));
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    assert_eq!(world.sweep(&[], 10).await, []);
    assert_eq!(world.store.queue_depths().await, Ok(vec![]));
}

pub(crate) async fn a_repeat_gets_the_first_ones_answer(world: &World) {
    let email = || {
        world
            .inbound("p")
            .email("a@example.com", "b@example.com")
            .subject("first")
    };
    let first = email().accept();
    let answers = world.accept_all(std::slice::from_ref(&first)).await;
    let Accepted::New { conversation_id, .. } = answers[0] else {
        panic!("{answers:?}")
    };
    let before = (world.conversations().await, world.messages().await);
    let repeat = |differs| Accepted::Repeated {
        id: first.id,
        conversation_id: Some(conversation_id),
        differs,
    };
    // Another time of writing makes no other content: a provider that gives none gets the time of each reception.
    let same = || email().written(99);
    let others = [
        same().body("reworded"),
        same().subject("new"),
        same().attached("https://example.com/1.png"),
    ];
    let node = world.another_node();
    for (draft, differs) in [(same(), false)]
        .into_iter()
        .chain(others.map(|draft| (draft, true)))
    {
        let again = draft.accept();
        assert_eq!(
            world.accept_all(std::slice::from_ref(&again)).await,
            [repeat(differs)]
        );
        assert_eq!(
            node.accept(std::slice::from_ref(&again)).await,
            Ok(vec![repeat(differs)])
        );
        assert_eq!(
            node.find_accepted(&[again]).await,
            Ok(vec![Some(repeat(differs))])
        );
    }
    assert_eq!((world.conversations().await, world.messages().await), before);
}

pub(crate) async fn repeats_in_one_batch_and_on_two_nodes_are_one_message(world: &World) {
    let nodes = world.two_nodes().await;
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let node = Arc::clone(&nodes[writer % 2]);
        let batch: Vec<Accept> = (0..30)
            .map(|_| {
                let number = world.below(10);
                world
                    .inbound(&format!("p{number}"))
                    .between(number as u32 % 3, 9)
                    .accept()
            })
            .collect();
        writers.spawn(async move {
            let answers = node.accept(&batch).await.unwrap();
            batch.into_iter().zip(answers).collect::<Vec<_>>()
        });
    }
    let answered: Vec<(Accept, Accepted)> = writers.join_all().await.into_iter().flatten().collect();
    let new: BTreeSet<_> = answered
        .iter()
        .filter(|(_, answer)| matches!(answer, Accepted::New { .. }))
        .map(|(accept, _)| accept.id)
        .collect();
    assert_eq!(
        new,
        world.messages().await.iter().map(|message| message.id).collect()
    );
    assert_eq!(new.len(), 10);
    for (_, answer) in answered {
        match answer {
            Accepted::New { .. } => {}
            Accepted::Repeated { id, .. } => assert!(new.contains(&id)),
            Accepted::KeyConflict => panic!("inbound messages have no key"),
        }
    }
    world.check_conversations().await;
}

/// One email to two recipients, or one id used by two senders.
pub(crate) async fn the_same_id_with_other_participants_is_another_message(world: &World) {
    let drafts = [(1, 2), (1, 3), (4, 2), (2, 1)].map(|(from, to)| world.inbound("p").between(from, to));
    let batch = drafts.clone().map(Draft::accept);
    for (accept, answer) in batch.iter().zip(world.accept_all(&batch).await) {
        assert!(matches!(answer, Accepted::New { .. }), "{answer:?}");
        let found = world.store.find_accepted(std::slice::from_ref(accept)).await;
        assert_eq!(found, Ok(vec![Some(answer)]));
    }
    // Each is recognized again, in any spelling of its addresses, and counted once.
    for (first, (from, to)) in batch.iter().zip([
        ("+12010000001", "+1 (201) 000-0002"),
        ("+1-201-000-0001", "+12010000003"),
    ]) {
        let again = world.inbound("p").sms(from, to).accept();
        for node in [&world.store, &world.another_node()] {
            let answers = node.accept(std::slice::from_ref(&again)).await.unwrap();
            assert!(matches!(answers[..], [Accepted::Repeated { id, differs: false, .. }] if id == first.id));
        }
    }
    assert_eq!(world.messages().await.len(), 4);
    world.check_conversations().await;
}

pub(crate) async fn the_same_id_at_another_provider_is_another_message(world: &World) {
    let batch = [SMS, EMAIL, SMS].map(|provider| world.inbound("p").by(provider).accept());
    let answers = world.accept_all(&batch).await;
    assert!(matches!(answers[0], Accepted::New { sequence: 1, .. }));
    assert!(matches!(answers[1], Accepted::New { sequence: 2, .. }));
    assert!(matches!(answers[2], Accepted::Repeated { id, .. } if id == batch[0].id));
}

pub(crate) async fn ids_and_keys_do_not_meet(world: &World) {
    let batch = [
        world.outbound().key("same").accept(),
        world.inbound("same").accept(),
        world.outbound().key(SMS).accept(),
    ];
    let answers = world.accept_all(&batch).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Accepted::New { .. }))
    );
}
