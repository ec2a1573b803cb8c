//! What is answered once more is as durable as what was answered first: with a synchronous standby, the standby has it.

use std::time::Duration;

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::{Cluster, Replication, StopMode};
use trunkline_store::{Accepted, Accepting, Store, StoreError};

use crate::{
    builders::{Draft, request},
    world::{connect, open_postgres},
};

/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);

/// Whether a client would be asked to try again.
fn is_no_answer<T>(result: &Result<T, StoreError>) -> bool {
    matches!(
        result,
        Err(StoreError::OutcomeUnknown(_) | StoreError::Unavailable(_))
    )
}

#[tokio::test]
async fn no_replay_answers_what_the_standby_lacks() {
    let mut primary = Cluster::start();
    let url = primary.create_database();
    // The role that docs/operations.md asks for, which owns its database and has no rights beyond.
    let (server, database) = url.rsplit_once('/').unwrap();
    let own = format!(
        "create role plain login; alter database {database} owner to plain; alter schema public owner to plain"
    );
    connect(&url).await.batch_execute(&own).await.unwrap();
    let url = format!("{}/{database}", server.replace("postgres@", "plain@"));
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    let mut standby = primary.standby(Replication::Synchronous);

    let (clock, entropy) = (SystemClock::new(), Entropy::from_seed(5));
    let mint = || MessageId::mint(clock.now(), &entropy);
    let keyed = |key: &str| {
        Draft::outbound(mint(), clock.now())
            .key(key)
            .body("hello")
            .accept()
    };
    let received = || {
        Draft::inbound(mint(), clock.now(), "p")
            .between(5, 6)
            .body("hello")
            .accept()
    };
    let durable = keyed("durable");
    store.accept(std::slice::from_ref(&durable)).await.unwrap();
    assert!(matches!(
        store.find_repeated(&request("durable", "hello")).await,
        Ok(Some(Accepted::Repeated { .. }))
    ));

    standby.pause();
    // Neither is what anybody may rely on: the commit waits for the standby.
    let (lost, lost_inbound) = (keyed("lost"), received());
    for accept in [&lost, &lost_inbound] {
        let accepted = store.accept(std::slice::from_ref(accept)).await;
        assert!(
            matches!(accepted, Err(StoreError::OutcomeUnknown(_))),
            "{accepted:?}"
        );
    }
    // After a restart both are visible, though the standby still has neither.
    primary.stop(StopMode::Immediate);
    primary.start_again();
    let visible = async {
        let client = connect(&url).await;
        while client.query("select from messages", &[]).await.unwrap().len() < 3 {}
    };
    tokio::time::timeout(SOON, visible).await.unwrap();
    let store = open_postgres(&url).unwrap();
    for (key, id) in [("lost", lost.id), ("durable", durable.id)] {
        let repeated = store.find_repeated(&request(key, "hello")).await;
        assert!(is_no_answer(&repeated), "{key}: {repeated:?}");
        let again = store.accept(&[keyed(key)]).await;
        assert!(is_no_answer(&again), "{key} ({id}): {again:?}");
    }
    let again = store.accept(&[received()]).await;
    assert!(is_no_answer(&again), "{again:?}");
    let found = store.find_accepted(std::slice::from_ref(&lost)).await;
    assert!(is_no_answer(&found), "{found:?}");
    // What is not there needs no standby.
    assert_eq!(store.find_repeated(&request("other", "hello")).await, Ok(None));
    drop(store);

    primary.stop(StopMode::Kill);
    // Also what still lies in its socket never gets there.
    standby.stop(StopMode::Kill);
    standby.start_again();
    standby.promote();
    let store =
        open_postgres(&url.replace(&primary.port().to_string(), &standby.port().to_string())).unwrap();
    let repeated = store.find_repeated(&request("durable", "hello")).await.unwrap();
    assert!(
        matches!(repeated, Some(Accepted::Repeated { id, .. }) if id == durable.id),
        "{repeated:?}"
    );
    assert_eq!(store.find_repeated(&request("lost", "hello")).await, Ok(None));
}
