//! The store in PostgreSQL, which several nodes share.

mod accept;
mod archive;
mod connections;
mod events;
mod failure;
mod follow_ups;
mod hosts;
mod insert;
mod listing;
mod outbox;
mod probe;
mod reads;
mod receipts;
mod rows;
mod server_check;
mod server_clock;
mod session;
mod settle;
mod tls;
mod webhooks;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Clock;
use tokio_postgres::{Row, types::ToSql};

use crate::{
    Store, StoreError,
    migrations::{pending, too_new},
    port::DURATION_MAX,
};

use self::{
    connections::{Access, Connections, PLANNED_EACH_TIME, PLANNED_ONCE},
    failure::QueryFailure,
    hosts::Hosts,
    probe::Probe,
    server_clock::ServerClock,
};

/// The most connections of a node for accepting, as many for settling, and as many for claiming. Accepting needs one; the
/// others need one for each lane.
const HOT_CONNECTIONS_MAX: usize = 4;
/// The most connections for reads. They are separate, so that slow reads delay nothing else.
const READ_CONNECTIONS_MAX: usize = 4;
/// The most connections for all other writes: receipts, cancellations, redrives, the progress of webhooks, housekeeping.
const OTHER_CONNECTIONS_MAX: usize = 4;
/// The most connections for placing and reading events. They are separate, because a follower reads after every commit, and
/// planning would cost more than reading.
const EVENT_CONNECTIONS_MAX: usize = 2;
/// The most connections of the probe: the one it keeps, and a new one where an old one proves nothing. A node has 24 in
/// all, as docs/operations.md says.
const PROBE_CONNECTIONS_MAX: usize = 2;
/// How long a settlement waits for the lock on a row: much longer than claims, sweeps and redrives hold one, and short
/// enough that bisecting a batch soon finds the blocked settlement.
const SETTLE_LOCK_TIMEOUT: Duration = Duration::from_millis(250);
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The advisory lock under which one node at a time migrates; the number is arbitrary.
const MIGRATION_LOCK: i64 = 0x7472_756e_6b6c;

#[derive(Debug)]
pub struct Postgres {
    /// A connection is driven by the runtime that opened it, so each dedicated thread has its own pool.
    accepting: Connections,
    settling: Connections,
    claiming: Connections,
    events: Connections,
    reading: Connections,
    others: Connections,
    probe: Probe,
    server_clock: ServerClock,
}

impl Postgres {
    /// Reads the URL. It connects on first use, so that a node can start while its database is away.
    ///
    /// # Errors
    /// When `url` cannot be used, or its root certificates cannot be read.
    pub fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let hosts = Arc::new(Hosts::of_url(url, Arc::clone(&clock))?);
        let connections =
            |most, settings: &str| Connections::new(Arc::clone(&hosts), most, settings.to_owned());
        let lock_timeout = SETTLE_LOCK_TIMEOUT.as_millis();
        let settling = format!("{PLANNED_ONCE}; set lock_timeout = {lock_timeout}");
        // A read stops after its first events, so it must not sort all that follow.
        let in_order = format!("{PLANNED_ONCE}; set enable_sort = off");
        Ok(Self {
            accepting: connections(HOT_CONNECTIONS_MAX, PLANNED_ONCE),
            settling: connections(HOT_CONNECTIONS_MAX, &settling),
            claiming: connections(HOT_CONNECTIONS_MAX, PLANNED_ONCE),
            events: connections(EVENT_CONNECTIONS_MAX, &in_order),
            reading: connections(READ_CONNECTIONS_MAX, PLANNED_EACH_TIME),
            others: connections(OTHER_CONNECTIONS_MAX, PLANNED_EACH_TIME),
            probe: Probe::new(connections(PROBE_CONNECTIONS_MAX, PLANNED_ONCE)),
            server_clock: ServerClock::new(clock),
        })
    }

    /// The hosts that `url` names, each with its port.
    ///
    /// # Errors
    /// When `url` is no connection string of PostgreSQL.
    pub fn hosts(url: &str) -> Result<Vec<String>, String> {
        hosts::names(url)
    }

    /// Runs one statement that changes data, as one transaction.
    async fn write(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.others.query(sql, params).await
    }

    /// Runs one statement that only reads.
    async fn read(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.reading.read(sql, params).await
    }

    /// Runs one statement that returns a row for every row it changes, and counts them.
    async fn change(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        Ok(self.write(sql, params).await?.len() as u64)
    }

    async fn migrate_locked(&self) -> Result<Vec<String>, QueryFailure> {
        let mut lent = self.others.lend(Access::Write).await?;
        let applied = Self::migrate_on(lent.session().client()).await;
        match &applied {
            Ok(_) => lent.give_back(),
            Err(failure) => lent.failed(failure),
        }
        applied
    }

    async fn migrate_on(client: &mut tokio_postgres::Client) -> Result<Vec<String>, QueryFailure> {
        let transaction = client.transaction().await?;
        transaction
            .batch_execute("set local statement_timeout = 0")
            .await?;
        transaction
            .execute("select pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
            .await?;
        transaction
            .batch_execute(
                "create table if not exists schema_migrations (
                    number bigint primary key, name text not null, applied_at timestamptz not null default now()
                )",
            )
            .await?;
        let version = transaction
            .query_one("select coalesce(max(number), 0) from schema_migrations", &[])
            .await?;
        let mut applied = Vec::new();
        for migration in pending(version.get(0)).map_err(|version| QueryFailure::Refused(too_new(version)))? {
            transaction.batch_execute(migration.postgres).await?;
            transaction
                .execute(
                    "insert into schema_migrations (number, name) values ($1, $2)",
                    &[&migration.number, &migration.name],
                )
                .await?;
            applied.push(migration.name.to_owned());
        }
        transaction.commit().await?;
        Ok(applied)
    }
}

#[async_trait]
impl Store for Postgres {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.check_server().await?;
        let limited = tokio::time::timeout(MIGRATION_TIMEOUT, self.migrate_locked()).await;
        limited
            .unwrap_or(Err(QueryFailure::TimedOut))
            .map_err(StoreError::from)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.probe.run().await
    }
}

/// Milliseconds for a `bigint` parameter, at most [`DURATION_MAX`].
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.min(DURATION_MAX).as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds for a parameter that is multiplied by an interval, at most [`DURATION_MAX`].
fn millis_float(duration: Duration) -> f64 {
    duration.min(DURATION_MAX).as_secs_f64() * 1_000.0
}
