//! A statement that its caller gave up does nothing later, and a clock that jumps makes no statement late.

use std::time::Duration;

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::Cluster;
use trunkline_store::{Accepted, Accepting, Claims, FIRST_LEASE, Outbox, Postgres, Reads, Store, StoreError};

use crate::{
    builders::{Draft, NOT_YET, SMS, name, up_to},
    world::{connect, open_postgres},
};

/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);

fn drafts() -> impl FnMut() -> Draft {
    let (clock, entropy) = (SystemClock::new(), Entropy::from_seed(5));
    move || {
        let now = clock.now();
        Draft::outbound(MessageId::mint(now, &entropy), now)
    }
}

/// Waits until the server has read the last of what was sent on the connections of this store.
async fn until_read(store: Postgres, url: &str) {
    drop(store);
    let client = connect(url).await;
    let read = async {
        let others =
            "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        while !client.query(others, &[]).await.unwrap().is_empty() {}
    };
    tokio::time::timeout(SOON, read).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_statement_does_nothing_when_the_server_resumes() {
    let mut cluster = Cluster::start();
    let url = cluster.create_database();
    let mut draft = drafts();
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    // Connections that are open already, and what time it is.
    let due = draft().accept();
    store.accept(std::slice::from_ref(&due)).await.unwrap();
    assert_eq!(
        store.claim(&name("nobody"), up_to(1), NOT_YET).await,
        Ok(Claims::default())
    );

    cluster.pause();
    let late = draft().leased(NOT_YET).accept();
    let (batch, provider) = ([late.clone()], name(SMS));
    let (accepted, claimed) = tokio::join!(store.accept(&batch), store.claim(&provider, up_to(10), NOT_YET));
    assert!(
        matches!(accepted, Err(StoreError::OutcomeUnknown(_))),
        "{accepted:?}"
    );
    assert!(claimed.is_err(), "{claimed:?}");
    // Well after those were given up.
    assert!(store.probe().await.is_err());
    cluster.resume();

    until_read(store, &url).await;
    let store = open_postgres(&url).unwrap();
    assert_eq!(store.message(late.id).await, Ok(None));
    let claims = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap();
    let claimed: Vec<_> = claims
        .entries
        .iter()
        .map(|claimed| (claimed.leased.id, claimed.leased.token, claimed.lease_expired))
        .collect();
    assert_eq!(claimed, [(due.id, FIRST_LEASE, false)]);
}

#[tokio::test]
async fn a_jump_of_the_servers_clock_delays_nothing() {
    let url = Cluster::shared().create_database();
    let client = connect(&url).await;
    let jumping = "create table jump (ahead interval not null);
        insert into jump values ('0');
        create function now() returns timestamptz stable language sql as 'select pg_catalog.now() + ahead from jump'";
    client.batch_execute(jumping).await.unwrap();
    let jump = async |hours: i32| {
        let statement = format!("update jump set ahead = '{hours} hours'");
        client.batch_execute(&statement).await.unwrap();
    };
    let store = open_postgres(&format!("{url}?options=-csearch_path%3Dpublic,pg_catalog")).unwrap();
    store.migrate().await.unwrap();
    let mut draft = drafts();
    for hours in [0, 2, 5, 1] {
        jump(hours).await;
        // The server finds it late; it is sent again, and only then found to be a repeat.
        let key = hours.to_string();
        let [accept, repeat] = [(); 2].map(|()| draft().key(&key).accept());
        let accepted = store.accept(&[accept.clone(), repeat]).await.unwrap();
        assert!(
            matches!(accepted[..], [Accepted::New { .. }, Accepted::Repeated { id, .. }] if id == accept.id),
            "{accepted:?}"
        );
        jump(hours + 1).await;
        let claims = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap();
        let claimed = claims.entries;
        assert!(
            claimed.iter().any(|claimed| claimed.leased.id == accept.id),
            "{claimed:?}"
        );
    }
}
