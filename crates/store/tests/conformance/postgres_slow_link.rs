//! A slow network to the server: more clients never store fewer messages, and nearly every client gets a definite answer.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::{Cluster, Proxy};
use tokio::task::JoinSet;
use trunkline_store::{AcceptError, GroupCommit, GroupCommitLimits, Store};

use crate::{
    builders::Draft,
    world::{open_postgres, start_group_commit},
};

/// Bytes of a message.
const LARGE: usize = 200_000;
/// Bytes per second.
const LINK: u64 = 6_000_000;
/// How long clients send.
const RUN: Duration = Duration::from_secs(8);
/// After this the engine tells a client that the outcome is unknown.
const CLIENT_WAITS: Duration = Duration::from_millis(1_600);

#[derive(Debug, Default)]
struct StatementCounts {
    stored: u32,
    refused: u32,
    unknown: u32,
}

/// The answers to so many clients, each of which sends its next message after the answer to the last.
async fn run(clients: u32) -> StatementCounts {
    let cluster = Cluster::shared();
    let proxy = Proxy::before(cluster.port());
    let store = Arc::new(open_postgres(&proxy.url(&cluster.create_database())).unwrap());
    store.migrate().await.unwrap();
    let clock = Arc::new(SystemClock::new());
    let limits = GroupCommitLimits {
        queue_max: 4_096,
        batch_max: 512,
    };
    let committer: Arc<GroupCommit> =
        Arc::new(start_group_commit(store.clone(), limits, clock.clone(), |_| {}));
    proxy.limit(Some(LINK), Some(LINK));
    let entropy = Entropy::from_seed(u64::from(clients));
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let (committer, clock) = (Arc::clone(&committer), Arc::clone(&clock));
        let ids = entropy.child(&client.to_string());
        tasks.spawn(async move {
            let (began, mut tally) = (clock.monotonic(), StatementCounts::default());
            while clock.monotonic() - began < RUN {
                let now = clock.now();
                let draft = Draft::outbound(MessageId::mint(now, &ids), now).between(client, 999);
                let accept = committer.accept(draft.body(&"x".repeat(LARGE)).accept());
                match tokio::time::timeout(CLIENT_WAITS, tokio::spawn(accept)).await {
                    Ok(Ok(Ok(_))) => tally.stored += 1,
                    Ok(Ok(Err(AcceptError::Overloaded | AcceptError::Unavailable(_)))) => tally.refused += 1,
                    Err(_) | Ok(Ok(Err(AcceptError::OutcomeUnknown(_)))) => tally.unknown += 1,
                    other => panic!("{other:?}"),
                }
            }
            tally
        });
    }
    let tallies = tasks.join_all().await;
    tallies
        .into_iter()
        .fold(StatementCounts::default(), |all, one| StatementCounts {
            stored: all.stored + one.stored,
            refused: all.refused + one.refused,
            unknown: all.unknown + one.unknown,
        })
}

#[tokio::test]
async fn more_clients_never_mean_fewer_answers() {
    let (few, many) = (run(4).await, run(64).await);
    println!("within {RUN:?} over {LINK} bytes/s: 4 clients {few:?}, 64 clients {many:?}");
    // A busy machine may cost some.
    assert!(
        many.stored * 10 >= few.stored * 9,
        "4 clients {few:?}, 64 clients {many:?}"
    );
    assert!(few.refused == 0 && few.unknown == 0, "{few:?}");
    assert!(many.unknown * 20 <= many.stored, "{many:?}");
}
