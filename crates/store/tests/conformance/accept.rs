use std::{collections::BTreeMap, sync::Arc};

use domain::{Direction, Message, Status};
use tokio::task::JoinSet;
use trunkline_store::{Accept, Accepted, Kind};

use crate::{
    builders::{Draft, instant},
    world::World,
};

/// What must be read back of a message that was accepted.
fn expected(accept: &Accept, accepted: Accepted) -> Message {
    let Accepted::New {
        conversation_id,
        sequence,
    } = accepted
    else {
        panic!("{accepted:?}")
    };
    let (direction, status) = match accept.kind {
        Kind::Send { .. } => (Direction::Outbound, Status::Pending),
        Kind::Receive { .. } => (Direction::Inbound, Status::Received),
    };
    Message {
        id: accept.id,
        thread: Some((conversation_id, sequence)),
        direction,
        content: (*accept.message.content).clone(),
        timestamp: accept.timestamp(),
        processed_at: accept.processed_at,
        status,
        provider: Some(accept.provider.clone()),
        failure: None,
        schedule: domain::Schedule::default(),
        delivery: None,
    }
}

pub(crate) async fn messages_read_back_to_the_byte(world: &World) {
    let url = "https://example.com/a%20b?q=\"'\\#\u{e9}";
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} e\u{301} \u{202e}\u{feff}\u{ffff}\u{10ffff}";
    let html = "<p onclick=\"x('y')\">\r\n\tcaf\u{e9} &amp; $1 {} \\u0000 \\\\ %s\u{1}\u{7f}</p>\r\r\n ";
    let long = "\u{1f44d}0123456789ab\r\n".repeat(250 * 1_024 / 18);
    let drafts = [
        world.outbound().body("plain"),
        world.outbound().body(" "),
        world.outbound().body(family),
        world.outbound().body(&long),
        world.outbound().sms("(201) 666-1234", "+1 804.555.1234"),
        world.outbound().sms("Trunk_Ln&1", "12345"),
        world.outbound().mms(&[]).body("no attachment"),
        world.outbound().mms(&[url, "http://127.0.0.1/", url]).body(""),
        world
            .outbound()
            .email("\"odd name\"@example.com", "B+tag@Example.COM")
            .body(html),
        world
            .outbound()
            .email("a@example.com", "b@example.com")
            .subject("")
            .body("empty subject"),
        world
            .outbound()
            .email("a@example.com", "b@example.com")
            .subject(family)
            .attached(url)
            .body("all of it"),
        world.inbound("in \u{e9} 1").body(html),
        world.inbound("in-2").mms(&[url]).body("seen"),
        world
            .inbound("in-3")
            .email("c@example.com", "a@example.com")
            .subject("re:\t x")
            .body(&long),
        world
            .outbound()
            .written(-62_135_596_800 - 1_735_689_600 + 1)
            .body("year one"),
        world.outbound().written(200_000_000_000).body("a far future"),
    ];
    let batch: Vec<Accept> = drafts.into_iter().map(Draft::accept).collect();
    let answers = world.accept_all(&batch).await;
    for (accept, answer) in batch.iter().zip(&answers) {
        let message = world.detail(accept.id).await.message;
        assert_eq!(message, expected(accept, *answer));
        let Some((id, _)) = message.thread else {
            unreachable!()
        };
        assert_eq!(world.conversation(id).await.key, accept.message.conversation());
        assert!(world.thread(id).await.contains(&message));
    }
    let listed = world.messages().await;
    assert!(
        batch
            .iter()
            .rev()
            .map(|accept| accept.id)
            .eq(listed.iter().map(|message| message.id))
    );
    world.check_conversations().await;
}

pub(crate) async fn the_first_conversation_has_id_one(world: &World) {
    let accept = world.outbound().accept();
    let answers = world.accept_all(std::slice::from_ref(&accept)).await;
    let Accepted::New {
        conversation_id,
        sequence,
    } = answers[0]
    else {
        panic!("{answers:?}")
    };
    assert_eq!((conversation_id.get(), sequence), (1, 1));
    let conversation = world.conversation(conversation_id).await;
    assert_eq!(conversation.created_at, accept.processed_at);
    assert_eq!(conversation.last_activity_at, accept.timestamp());
}

pub(crate) async fn directions_and_sms_and_mms_share_a_conversation_and_email_has_its_own(world: &World) {
    let (we, they) = ("+12016661234", "+18045551234");
    let batch = [
        world.outbound().sms(we, they),
        world.inbound("1").sms(they, we),
        world.outbound().sms(we, they).mms(&["https://example.com/"]),
        world
            .inbound("2")
            .sms("+1 (804) 555-1234", "+1 201-666-1234")
            .mms(&[]),
        world.outbound().email("a@example.com", "b@example.com"),
        world.inbound("3").email("B@example.com", "a+tag@example.com"),
    ]
    .map(Draft::accept);
    let answers = world.accept_all(&batch).await;
    let places: Vec<(i64, u64)> = answers
        .iter()
        .map(|answer| match answer {
            Accepted::New {
                conversation_id,
                sequence,
            } => (conversation_id.get(), *sequence),
            other => panic!("{other:?}"),
        })
        .collect();
    let (phone, email) = (places[0].0, places[4].0);
    assert_ne!(phone, email);
    assert_eq!(
        places,
        [
            (phone, 1),
            (phone, 2),
            (phone, 3),
            (phone, 4),
            (email, 1),
            (email, 2)
        ]
    );
    assert_eq!(world.conversations().await.len(), 2);
}

pub(crate) async fn sequences_follow_the_batch_and_the_latest_timestamp_is_the_last_activity(world: &World) {
    let written = [5, 9, 1, 9, 3];
    let batch: Vec<Accept> = written
        .iter()
        .flat_map(|seconds| {
            [
                world.outbound().between(1, 2).written(*seconds).accept(),
                world.outbound().between(2, 3).written(-seconds).accept(),
            ]
        })
        .collect();
    world.accept_all(&batch[..3]).await;
    world.accept_all(&batch[3..]).await;
    for (pair, latest) in [(0, 9), (1, -1)] {
        let ours: Vec<_> = batch.iter().skip(pair).step_by(2).collect();
        let (id, _) = world.detail(ours[0].id).await.message.thread.unwrap();
        for (place, accept) in ours.iter().enumerate() {
            let message = world.detail(accept.id).await.message;
            assert_eq!(message.thread, Some((id, place as u64 + 1)));
        }
        let conversation = world.conversation(id).await;
        assert_eq!(conversation.message_count, written.len() as u64);
        assert_eq!(conversation.last_activity_at, instant(latest));
        assert_eq!(conversation.created_at, ours[0].processed_at);
    }
    world.check_conversations().await;
}

pub(crate) async fn an_older_message_does_not_turn_back_the_last_activity(world: &World) {
    world.accept(world.outbound().written(100)).await;
    world.accept(world.outbound().written(50)).await;
    assert_eq!(world.conversations().await[0].last_activity_at, instant(100));
}

pub(crate) async fn answers_are_in_the_order_of_the_batch(world: &World) {
    let batch: Vec<Accept> = (0..60)
        .map(|_| {
            let pair = 100 + world.below(7) as u32;
            world.outbound().between(pair, 1).accept()
        })
        .collect();
    let answers = world.accept_all(&batch).await;
    for (accept, answer) in batch.iter().zip(answers) {
        assert_eq!(world.detail(accept.id).await.message, expected(accept, answer));
    }
    world.check_conversations().await;
}

pub(crate) async fn an_empty_batch_is_nothing(world: &World) {
    assert_eq!(world.accept_all(&[]).await, []);
    assert_eq!(world.store.find_accepted(&[]).await, Ok(vec![]));
}

pub(crate) async fn hundred_for_one_pair(world: &World) {
    let committer = Arc::new(world.group_commit(200, 16));
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (committer, accept) = (Arc::clone(&committer), world.outbound().accept());
        requests.spawn(async move { committer.accept(accept).await });
    }
    let mut sequences: Vec<u64> = requests
        .join_all()
        .await
        .into_iter()
        .map(|answer| match answer {
            Ok(Accepted::New { sequence, .. }) => sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=100));
    assert_eq!(world.conversations().await.len(), 1);
    world.check_conversations().await;
}

pub(crate) async fn many_pairs_from_two_nodes(world: &World) {
    let nodes = world.two_nodes().await;
    let mut writers = JoinSet::new();
    let mut expected: BTreeMap<_, u64> = BTreeMap::new();
    for writer in 0..8 {
        let node = Arc::clone(&nodes[writer % 2]);
        // Each batch has many pairs in its own order: locking them in that order deadlocks.
        let batches: Vec<Vec<Accept>> = (0..8)
            .map(|_| {
                (0..30)
                    .map(|_| {
                        let pair = world.below(20) as u32;
                        let draft = world.outbound().between(pair, pair + 1);
                        let accept = draft.written(world.below(1_000) as i64).accept();
                        *expected.entry(accept.message.conversation()).or_default() += 1;
                        accept
                    })
                    .collect()
            })
            .collect();
        writers.spawn(async move {
            for batch in batches {
                let answers = node.accept(&batch).await.unwrap();
                assert!(
                    answers
                        .iter()
                        .all(|answer| matches!(answer, Accepted::New { .. }))
                );
            }
        });
    }
    writers.join_all().await;
    world.check_conversations().await;
    let counts: BTreeMap<_, u64> = world
        .conversations()
        .await
        .into_iter()
        .map(|conversation| (conversation.key, conversation.message_count))
        .collect();
    assert_eq!(counts, expected);
}

pub(crate) async fn accepted_messages_and_repeats_are_found(world: &World) {
    let keyed = world.outbound().key("k").body("one").accept();
    let received = world.inbound("p").accept();
    let plain = world.outbound().accept();
    let stored = [keyed.clone(), received.clone(), plain.clone()];
    let answers = world.accept_all(&stored).await;
    let Accepted::New { conversation_id, .. } = answers[0] else {
        panic!()
    };

    let asked = [
        world.outbound().key("k").body("one").accept(),
        plain,
        world.outbound().accept(),
        world.inbound("p").body("another body").accept(),
        world.inbound("p").by("other").accept(),
        keyed.clone(),
        world.outbound().key("k").body("two").accept(),
        world.outbound().key("free").accept(),
        received.clone(),
    ];
    let repeated = |id, differs| {
        Some(Accepted::Repeated {
            id,
            conversation_id: Some(conversation_id),
            differs,
        })
    };
    let found = world.store.find_accepted(&asked).await.unwrap();
    assert_eq!(
        found,
        [
            repeated(keyed.id, false),
            Some(answers[2]),
            None,
            repeated(received.id, true),
            None,
            Some(answers[0]),
            Some(Accepted::KeyConflict),
            None,
            Some(answers[1]),
        ]
    );
    assert_eq!(world.messages().await.len(), 3);
}
