//! Races between two nodes that only PostgreSQL's row locks decide: the second statement begins before the first one ends, and
//! must still see what the first one did.

use std::{sync::Arc, time::Duration};

use domain::{FailureReason, MessageId, Outcome, Status};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use trunkline_store::{Claimed, Disposition, RedriveFilter, Redriven, Settled, Store, StoreError};

use crate::{
    builders::{ALREADY, AT_ONCE, Held, NOT_YET, SMS, dead, in_place, name, retry, up_to},
    world::{Kind, World, connect, open_postgres},
};

/// Long enough for the slowest machine.
const SOON: Duration = Duration::from_secs(60);
/// The advisory lock at which statements of the slow node stop.
const STOP: i64 = 77;
/// How often a race is run: a statement has little more than a second, and the machine may be busy.
const RUNS_MAX: usize = 20;

/// Two nodes on one database, and an operator's session. Statements of the slow node ask for the time when they have begun, and
/// may be held up there. The function they ask is volatile, or it would be asked while they are planned, before they have seen
/// anything.
pub(crate) struct Race {
    pub(crate) world: World,
    slow: Arc<dyn Store>,
    session: Client,
    /// One that looks on: within a transaction, what others wait for looks the same all the time.
    watcher: Client,
}

/// Runs a race until the statements in it ended within their time.
pub(crate) async fn run(race: impl AsyncFn(&Race) -> Result<(), StoreError>) {
    for _ in 0..RUNS_MAX {
        match race(&Race::new().await).await {
            Ok(()) => return,
            Err(error @ StoreError::Refused(_)) => panic!("{error}"),
            Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) => {}
        }
    }
    panic!("no statement of {RUNS_MAX} ended within its time");
}

impl Race {
    pub(crate) async fn new() -> Self {
        let world = World::create(Kind::Postgres).await;
        let url = world.postgres_url();
        let session = connect(url).await;
        let clock = format!(
            "create schema slow;
            create function slow.now() returns timestamptz volatile language plpgsql as $$ begin
                perform pg_advisory_lock_shared({STOP});
                perform pg_advisory_unlock_shared({STOP});
                return clock_timestamp();
            end $$"
        );
        session.batch_execute(&clock).await.unwrap();
        let slow = open_postgres(&format!("{url}?options=-csearch_path%3Dslow,public,pg_catalog"));
        let watcher = connect(url).await;
        Self {
            slow: Arc::new(slow.unwrap()),
            world,
            session,
            watcher,
        }
    }

    /// Begins something that the slow node does, and returns when it has stopped on its way.
    pub(crate) async fn begin<T, F>(&self, work: impl FnOnce(Arc<dyn Store>) -> F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.execute(&format!("select pg_advisory_lock({STOP})")).await;
        let work = tokio::spawn(work(Arc::clone(&self.slow)));
        self.until_waiting(&work).await;
        work
    }

    /// Lets it go on.
    pub(crate) async fn end<T>(&self, work: JoinHandle<T>) -> T {
        self.execute(&format!("select pg_advisory_unlock({STOP})")).await;
        work.await.unwrap()
    }

    /// Begins something while a transaction holds its row, and ends the transaction once it is waited for.
    pub(crate) async fn behind<T, F>(&self, transaction: &str, work: impl FnOnce(Arc<dyn Store>) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.execute(&format!("begin; {transaction}")).await;
        let work = tokio::spawn(work(Arc::clone(&self.world.store)));
        self.until_waiting(&work).await;
        self.execute("commit").await;
        work.await.unwrap()
    }

    /// Waits until this work waits for a lock, or was given up because the machine is busy.
    pub(crate) async fn until_waiting<T>(&self, work: &JoinHandle<T>) {
        let waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let wait = async {
            while !work.is_finished() && self.watcher.query(waiting, &[]).await.unwrap().is_empty() {}
        };
        tokio::time::timeout(SOON, wait).await.unwrap();
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.session.batch_execute(sql).await.unwrap();
    }

    /// An entry whose lease has run out, and its lease.
    pub(crate) async fn vanished(&self, deadline: Duration) -> Held {
        let draft = self.world.outbound().leased(ALREADY).deadline(deadline);
        Held::at_accept(self.world.accept(draft).await)
    }

    pub(crate) async fn outcomes(&self, id: MessageId) -> Vec<(u32, Outcome)> {
        let attempts = self.world.detail(id).await.attempts;
        attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.outcome))
            .collect()
    }
}

/// Claims whatever is due.
pub(crate) async fn claim(store: &dyn Store, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
    Ok(store.claim(&name(SMS), up_to(10), lease).await?.entries)
}

/// What the claim of another node does to an entry whose lease has run out.
pub(crate) fn claimed_by_another(held: Held) -> String {
    let (id, token) = (held.id, held.token.0);
    format!(
        "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
            values ('{id}', 1, {token}, '{SMS}', 'unknown', now(), 0);
        update outbox set lease_token = lease_token + 1, attempts = attempts + 1, leased_until = now() + interval '1 hour'
            where message_id = '{id}'"
    )
}

#[tokio::test]
async fn a_sweep_leaves_entries_redriven_since_it_began() {
    run(async |race| {
        let late = race.world.accept(race.world.outbound().deadline(ALREADY)).await;
        let sweep = race
            .begin(async |slow| slow.sweep(&[name(SMS)], AT_ONCE, 10).await)
            .await;
        // Another node dead-letters it, and an operator redrives it.
        assert_eq!(race.world.sweep(&[SMS], 10).await.len(), 1);
        race.world
            .store
            .redrive(late, &in_place(NOT_YET, NOT_YET))
            .await?;
        assert_eq!(race.end(sweep).await?, []);
        assert_eq!(race.world.status(late).await, Status::Pending);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_sweep_leaves_entries_claimed_or_settled_since_it_began() {
    run(async |race| {
        let claimed = race.vanished(ALREADY).await;
        let sent = race.vanished(ALREADY).await;
        let sweep = race
            .begin(async |slow| slow.sweep(&[name(SMS)], AT_ONCE, 10).await)
            .await;
        let finish = sent.tried(Outcome::Success, Disposition::Finish);
        assert_eq!(race.world.store.settle(&[finish]).await?, [Settled::Applied]);
        assert_eq!(claim(&*race.world.store, NOT_YET).await?.len(), 1);
        assert_eq!(race.end(sweep).await?, []);
        assert_eq!(race.outcomes(claimed.id).await, [(1, Outcome::Unknown)]);
        assert_eq!(race.outcomes(sent.id).await, [(1, Outcome::Success)]);
        let waiting = race.world.detail(claimed.id).await.waiting;
        assert!(waiting.is_some_and(|waiting| waiting.leased));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_claim_leaves_entries_claimed_or_retried_since_it_began() {
    run(async |race| {
        let claimed = race.world.accept(race.world.outbound()).await;
        let put_off = race.vanished(NOT_YET).await;
        let claiming = race.begin(async |slow| claim(&*slow, NOT_YET).await).await;
        let later = put_off.tried(Outcome::Error, retry(NOT_YET));
        assert_eq!(race.world.store.settle(&[later]).await?, [Settled::Applied]);
        assert_eq!(claim(&*race.world.store, NOT_YET).await?.len(), 1);
        assert_eq!(race.end(claiming).await?, []);
        assert_eq!(race.outcomes(claimed).await, []);
        assert_eq!(race.outcomes(put_off.id).await, [(1, Outcome::Error)]);
        Ok(())
    })
    .await;
}

/// Else an attempt would be on record twice, or not at all.
#[tokio::test]
async fn a_claim_uses_the_values_of_the_locked_row() {
    run(async |race| {
        let settled = race.vanished(NOT_YET).await;
        let claiming = race.begin(async |slow| claim(&*slow, NOT_YET).await).await;
        let again = settled.tried(Outcome::Error, retry(ALREADY));
        assert_eq!(race.world.store.settle(&[again]).await?, [Settled::Applied]);
        let claimed = race.end(claiming).await?;
        assert!(
            matches!(&claimed[..], [one] if !one.lease_expired && one.leased.progress.attempts == 1),
            "{claimed:?}"
        );
        assert_eq!(race.outcomes(settled.id).await, [(1, Outcome::Error)]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_claim_of_a_lease_that_expired_twice_records_both_attempts() {
    run(async |race| {
        let vanished = race.vanished(NOT_YET).await;
        let claiming = race.begin(async |slow| claim(&*slow, NOT_YET).await).await;
        assert_eq!(claim(&*race.world.store, ALREADY).await?.len(), 1);
        let claimed = race.end(claiming).await?;
        assert!(
            matches!(&claimed[..], [one] if one.lease_expired && one.leased.progress.attempts == 2),
            "{claimed:?}"
        );
        let unknown = [(1, Outcome::Unknown), (2, Outcome::Unknown)];
        assert_eq!(race.outcomes(vanished.id).await, unknown);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_settlement_that_waited_for_a_claim_has_lost_its_lease() {
    run(async |race| {
        for disposition in [Disposition::Finish, retry(NOT_YET), dead(FailureReason::Rejected)] {
            let held = race.vanished(NOT_YET).await;
            let settlement = held.tried(Outcome::Error, disposition);
            let claim = claimed_by_another(held);
            let settled = race.behind(&claim, async move |store| store.settle(&[settlement]).await);
            assert_eq!(settled.await?, [Settled::LeaseLost]);
            let detail = race.world.detail(held.id).await;
            assert_eq!(
                (detail.message.status, detail.attempts.len()),
                (Status::Pending, 1)
            );
            assert_eq!(detail.attempts[0].late_outcome, Some(Outcome::Error));
            assert!(detail.waiting.is_some_and(|waiting| waiting.leased));
        }
        Ok(())
    })
    .await;
}

/// It has no try of its own, whose number would be taken.
#[tokio::test]
async fn a_dead_letter_that_waited_for_a_claim_has_lost_its_lease() {
    run(async |race| {
        let held = race.vanished(NOT_YET).await;
        let burial = held.untried(dead(FailureReason::Deadline));
        let claim = claimed_by_another(held);
        let settled = race.behind(&claim, async move |store| store.settle(&[burial]).await);
        assert_eq!(settled.await?, [Settled::LeaseLost]);
        assert!(
            race.world
                .detail(held.id)
                .await
                .waiting
                .is_some_and(|waiting| waiting.leased)
        );
        Ok(())
    })
    .await;
}

/// Its first answer was late, and came after all.
#[tokio::test]
async fn a_settlement_sent_twice_at_once_takes_effect_once() {
    run(async |race| {
        let held = race.vanished(NOT_YET).await;
        let settlement = held.tried(Outcome::Error, retry(NOT_YET));
        let other = race.world.another_node();
        let hold = format!("select from outbox where message_id = '{}' for update", held.id);
        let (first, second) = race
            .behind(&hold, async move |store| {
                let batch = [settlement];
                tokio::join!(store.settle(&batch), other.settle(&batch))
            })
            .await;
        assert_eq!(
            (first?, second?),
            (vec![Settled::Applied], vec![Settled::Applied])
        );
        assert_eq!(race.outcomes(held.id).await, [(1, Outcome::Error)]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_release_that_waited_for_a_claim_releases_nothing() {
    run(async |race| {
        let held = race.vanished(NOT_YET).await;
        let lease = (held.id, held.token);
        let claim = claimed_by_another(held);
        let released = race
            .behind(&claim, async move |store| store.release(&[lease]).await)
            .await?;
        assert_eq!(released, []);
        let waiting = race.world.detail(held.id).await.waiting;
        assert!(waiting.is_some_and(|waiting| waiting.leased));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_redrive_that_waited_for_another_one_changes_nothing() {
    run(async |race| {
        let dead_letter = |held: &Held| held.tried(Outcome::Error, dead(FailureReason::Exhausted));
        let id = race.world.settled(race.world.outbound(), dead_letter).await;
        let redriven = format!(
            "update outbox set dead_at = null, failure_reason = null, due_at = now() + interval '1 hour' where message_id = '{id}'"
        );
        let terms = in_place(NOT_YET, NOT_YET);
        let again = race.behind(&redriven, async move |store| store.redrive(id, &terms).await).await?;
        assert_eq!(again, Redriven::NotFailed);
        let all = RedriveFilter::default();
        let batch = race.world.store.redrive_matching(&all, &in_place(NOT_YET, NOT_YET), 10).await?;
        assert_eq!(batch.redriven, 0);
        assert!(race.world.detail(id).await.waiting.is_some_and(|waiting| !waiting.due));
        Ok(())
    })
    .await;
}

/// One row that a session holds keeps neither the others waiting nor the nodes.
#[tokio::test]
async fn claims_and_sweeps_skip_locked_entries() {
    run(async |race| {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(race.world.accept(race.world.outbound()).await);
        }
        for _ in 0..3 {
            ids.push(race.world.accept(race.world.outbound().deadline(ALREADY)).await);
        }
        let [due, late] = [ids[0], ids[3]];
        let hold = format!("begin; select from outbox where message_id in ('{due}', '{late}') for update");
        race.execute(&hold).await;
        let dead = race.world.store.sweep(&[name(SMS)], AT_ONCE, 10).await?;
        let claimed = claim(&*race.world.store, NOT_YET).await?;
        race.execute("commit").await;
        assert_eq!(dead.iter().map(|one| one.id).collect::<Vec<_>>(), ids[4..]);
        assert_eq!(
            claimed.iter().map(|one| one.leased.id).collect::<Vec<_>>(),
            ids[1..3]
        );
        Ok(())
    })
    .await;
}
