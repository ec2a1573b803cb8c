use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use trunkline_store::{AcceptError, Accepted, GroupCommit, GroupCommitLimits};

use crate::world::{World, start_group_commit};

/// A committing task and the numbers of messages in its commits.
fn counting(world: &World, batch_max: usize) -> (GroupCommit, Arc<Mutex<Vec<usize>>>) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let limits = GroupCommitLimits {
        queue_max: 1_000,
        batch_max,
    };
    let reported = Arc::clone(&sizes);
    let report = move |report: trunkline_store::CommitReport| {
        reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report.messages);
    };
    let committer = start_group_commit(Arc::clone(&world.store), limits, world.clock.clone(), report);
    (committer, sizes)
}

pub(crate) async fn answers_only_what_is_stored(world: &World) {
    let committer = Arc::new(world.group_commit(100, 4));
    let mut requests = JoinSet::new();
    for pair in 0..50 {
        let (committer, node) = (Arc::clone(&committer), world.another_node());
        let accept = world.outbound().between(pair, pair + 1).accept();
        requests.spawn(async move {
            let answer = committer.accept(accept.clone()).await.unwrap();
            // Every node reads it from the moment of the answer.
            let message = node.message(accept.id).await.unwrap().unwrap().message;
            let Accepted::New {
                conversation_id,
                sequence,
            } = answer
            else {
                panic!("{answer:?}")
            };
            assert_eq!(message.thread, Some((conversation_id, sequence)));
        });
    }
    requests.join_all().await;
}

pub(crate) async fn large_messages_share_commits_of_bounded_size(world: &World) {
    const MEBIBYTE: usize = 1 << 20;
    let (committer, sizes) = counting(world, 64);
    let committer = Arc::new(committer);
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let accept = world.outbound().body(&"x".repeat(MEBIBYTE)).accept();
        let committer = Arc::clone(&committer);
        requests.spawn(async move { committer.accept(accept).await.unwrap() });
    }
    requests.join_all().await;
    let sizes = sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|messages| *messages <= 8), "{sizes:?}");
}

pub(crate) async fn waiting_messages_share_a_commit(world: &World) {
    let (committer, sizes) = counting(world, 64);
    let committer = Arc::new(committer);
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (committer, accept) = (Arc::clone(&committer), world.outbound().accept());
        requests.spawn(async move { committer.accept(accept).await.unwrap() });
    }
    requests.join_all().await;
    let sizes = sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(
        sizes.iter().all(|size| *size <= 64) && sizes.len() < 20,
        "{sizes:?}"
    );
}

pub(crate) async fn a_lone_message_is_committed_at_once(world: &World) {
    let (committer, sizes) = counting(world, 64);
    for _ in 0..3 {
        committer.accept(world.outbound().accept()).await.unwrap();
    }
    assert_eq!(*sizes.lock().unwrap(), [1, 1, 1]);
}

pub(crate) async fn a_full_queue_refuses_at_once(world: &World) {
    let committer = world.group_commit(2, 2);
    assert!(!committer.is_full());
    let accepts = [(); 4].map(|()| world.outbound().accept());
    let [one, two, three, four] = accepts.clone();
    // All four ask before the committing task gets its turn.
    let answers = tokio::join!(
        committer.accept(one),
        committer.accept(two),
        committer.accept(three),
        async {
            assert!(committer.is_full());
            committer.accept(four).await
        }
    );
    assert!(answers.0.is_ok() && answers.1.is_ok());
    assert_eq!(
        (answers.2, answers.3),
        (Err(AcceptError::Overloaded), Err(AcceptError::Overloaded))
    );
    assert_eq!(world.messages().await.len(), 2);
    // The queue is free again, and what was refused may come again.
    let [_, _, three, _] = accepts;
    assert!(committer.accept(three).await.is_ok());
}

pub(crate) async fn a_repeat_in_the_same_commit_gets_the_same_answer(world: &World) {
    let committer = world.group_commit(10, 10);
    let first = world.outbound().key("k").accept();
    let (one, again, other) = tokio::join!(
        committer.accept(first.clone()),
        committer.accept(world.outbound().key("k").accept()),
        committer.accept(world.outbound().key("k").body("other").accept()),
    );
    assert!(matches!(one, Ok(Accepted::New { sequence: 1, .. })), "{one:?}");
    assert!(
        matches!(again, Ok(Accepted::Repeated { id, .. }) if id == first.id),
        "{again:?}"
    );
    assert_eq!(other, Ok(Accepted::KeyConflict));
}

pub(crate) async fn waiting_messages_are_answered_when_the_queue_is_dropped(world: &World) {
    let committer = Arc::new(world.group_commit(100, 10));
    let mut requests = JoinSet::new();
    for _ in 0..30 {
        let (committer, accept) = (Arc::clone(&committer), world.outbound().accept());
        requests.spawn(async move { committer.accept(accept).await });
    }
    drop(committer);
    let answers = requests.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.messages().await.len(), 30);
}

pub(crate) async fn runs_to_the_end_when_the_requester_leaves(world: &World) {
    let committer = world.group_commit(100, 10);
    let accept = world.outbound().accept();
    // It asks, and hangs up before the committing task has its turn.
    tokio::select! {
        biased;
        answer = committer.accept(accept.clone()) => panic!("{answer:?}"),
        () = std::future::ready(()) => {}
    }
    committer.accept(world.outbound().accept()).await.unwrap();
    assert_eq!(world.detail(accept.id).await.message.thread.unwrap().1, 1);
}
