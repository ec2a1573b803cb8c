//! The number of a node's connections stays bounded under any load.

use std::{sync::Arc, time::Duration};

use domain::ConversationId;
use throwaway_postgres::Cluster;
use tokio::task::JoinSet;
use trunkline_store::{Reads, Store};

use crate::world::{connect, open_postgres};

/// What docs/operations.md says of a node.
const BACKENDS_MAX: i64 = 20;
/// When the clients of this test hang up.
const PATIENCE: Duration = Duration::from_millis(60);
/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);
/// Reading a conversation takes as long as the server lets a statement run.
const SLOW_READS: &str = "alter table conversations rename to stored_conversations;
    create function slow() returns boolean volatile language sql as 'select pg_sleep(60) is not null';
    create view conversations as select * from stored_conversations where slow();
    insert into stored_conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
    values ('sms', 'a', 'b', 0, now(), now())";

/// Clients that hang up leave statements behind. They are ended, and until they are, nothing else runs in their place.
#[tokio::test]
async fn abandoned_reads_free_their_connections() {
    let cluster = Cluster::start();
    let store = Arc::new(open_postgres(&cluster.create_database()).unwrap());
    let url = cluster.url("throwaway_1");
    store.migrate().await.unwrap();
    let observer = connect(&url).await;
    observer.batch_execute(SLOW_READS).await.unwrap();
    let count = async |condition: &str| -> i64 {
        let sql = format!(
            "select count(*) from pg_stat_activity where application_name = 'trunkline' and {condition}"
        );
        observer.query_one(&sql, &[]).await.unwrap().get(0)
    };

    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        clients.spawn(async move {
            for _ in 0..15 {
                let read = store.conversation(ConversationId::new(1).unwrap());
                // Most hang up; the others get an error that the store is busy.
                let _ = tokio::time::timeout(PATIENCE, read).await;
            }
        });
    }
    let mut most = 0;
    let mut probes = 0;
    while !clients.is_empty() {
        most = most.max(count("true").await);
        // Reads do not affect the probe.
        assert_eq!(store.probe().await, Ok(()));
        probes += 1;
        while clients.try_join_next().is_some() {}
    }
    println!("at most {most} backends, {probes} probes");
    assert!((2..=BACKENDS_MAX).contains(&most), "{most} backends");
    let ended = async { while count("state = 'active' and query like '%conversations%'").await > 0 {} };
    tokio::time::timeout(SOON, ended)
        .await
        .expect("abandoned statements end");
}
