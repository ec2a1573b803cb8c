//! The clock of a SQLite store: a wall clock that is set to another time changes nothing that was measured.

use std::time::Duration;

use domain::{Outcome, Status};
use trunkline_store::{Accepting, Archive, Claims, Disposition, Outbox, Reads};

use crate::{
    builders::{AT_ONCE, Held, NOT_YET, SMS, name, retry, up_to},
    sqlite_file::OneFile,
};

const HOUR: i64 = 3_600;
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_step_of_the_wall_clock_changes_no_deadline_or_lease() {
    for hours in [-1, 1] {
        let file = OneFile::new();
        let store = file.migrated().await;
        let leased = file.outbound().key("k").deadline(MINUTE).leased(MINUTE).accept();
        let waits = file.outbound().leased(NOT_YET).accept();
        store.accept(&[leased.clone(), waits.clone()]).await.unwrap();
        let held = Held::at_accept(waits.id);
        store
            .settle(&[held.tried(Outcome::Error, retry(MINUTE))])
            .await
            .unwrap();

        file.clock.step(hours * HOUR);
        let serving = [name(SMS)];
        assert_eq!(store.sweep(&serving, AT_ONCE, 10).await, Ok(vec![]));
        assert_eq!(
            store.claim(&serving[0], up_to(10), MINUTE).await,
            Ok(Claims::default())
        );
        assert_eq!(store.purge_idempotency_keys(MINUTE, 10).await, Ok(0));
        let waiting = store.message(waits.id).await.unwrap().unwrap().waiting;
        assert!(!waiting.unwrap().due);

        // When the minute has passed by the monotonic clock, it has passed.
        file.clock.advance(MINUTE);
        let claimed = store.claim(&serving[0], up_to(10), MINUTE).await.unwrap().entries;
        assert_eq!(claimed.len(), 2, "{hours}: {claimed:?}");
        assert_eq!(store.purge_idempotency_keys(MINUTE, 10).await, Ok(1));
        let settled = claimed
            .iter()
            .map(|claimed| Held::from(claimed).tried(Outcome::Success, Disposition::Finish));
        store.settle(&settled.collect::<Vec<_>>()).await.unwrap();
        let status = store.message(leased.id).await.unwrap().unwrap().message.status;
        assert_eq!(status, Status::Dispatched);
    }
}

/// The times in the file lie an hour ahead of a wall clock that was set back while no process ran. What waits for a minute
/// must not wait for an hour.
#[tokio::test]
async fn a_new_process_does_not_start_before_the_times_in_its_file() {
    let file = OneFile::new();
    let store = file.migrated().await;
    let due = file.outbound().accept();
    let waits = file.outbound().leased(NOT_YET).accept();
    store.accept(&[due.clone(), waits.clone()]).await.unwrap();
    file.clock.advance(MINUTE);
    let held = Held::at_accept(waits.id);
    store
        .settle(&[held.tried(Outcome::Error, retry(MINUTE))])
        .await
        .unwrap();
    drop(store);

    file.clock.step(-HOUR);
    let store = file.open().unwrap();
    let claimed = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap().entries;
    let ids: Vec<_> = claimed.iter().map(|claimed| claimed.leased.id).collect();
    assert_eq!(ids, [due.id]);
    assert!(claimed[0].deadline_in <= NOT_YET);
    file.clock.advance(MINUTE);
    let claimed = store.claim(&name(SMS), up_to(10), NOT_YET).await.unwrap().entries;
    let ids: Vec<_> = claimed.iter().map(|claimed| claimed.leased.id).collect();
    assert_eq!(ids, [waits.id]);
}
