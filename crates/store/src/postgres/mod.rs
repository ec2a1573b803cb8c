//! PostgreSQL: what several nodes share.

mod accept;
mod conversations;
mod messages;
mod outbox;
mod past;
mod rows;
mod tls;

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Timeouts};
use domain::{
    Conversation, ConversationId, ConversationKey, ConversationPosition, LeaseToken, Message, MessageId,
    Page, PageRequest, ProviderName, ThreadPosition,
};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::{
    Accept, Accepted, Assigned, Claimed, ConversationFilter, DeadLetter, Deadlines, IdempotentRequest,
    Import, MessageDetail, MessageFilter, QueueDepth, RedriveFilter, Redriven, Settled, Settlement, Store,
    StoreError, Unthreaded,
    migrations::{pending, too_new},
    port::DURATION_MAX,
};

use tls::{Parameters, Tls};

/// Connections a node writes with at most: one accepts, one settles, each lane claims, one keeps house.
const WRITE_CONNECTIONS_MAX: usize = 8;
/// Connections a node reads with at most. They are others, so that slow reads never keep a message from being accepted.
const READ_CONNECTIONS_MAX: usize = 8;
/// How long a statement waits for a connection, and a connection for the server.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How long a statement may run. Shorter than what a client of the API is made to wait for a `503`.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the server lets a statement run before it rolls it back and says so.
const SERVER_STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// How long migrations may run.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often a statement that lost against another one (deadlock, serialization) is run again as a whole.
const CONFLICT_RETRIES_MAX: u32 = 5;
/// The advisory lock under which one node at a time migrates; the number is arbitrary and only ours.
const MIGRATION_LOCK: i64 = 0x7472_756e_6b6c;

/// A store in a PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    writes: Pool,
    reads: Pool,
}

impl Postgres {
    /// Prepares to connect; nothing is connected before the first use, so that a node can start while its database is
    /// away.
    ///
    /// # Errors
    /// When `url` is no connection string of PostgreSQL, or the root certificates it asks for cannot be had.
    pub fn open(url: &str) -> Result<Self, String> {
        let parameters = Parameters::take(url)?;
        let tls = parameters.connector()?;
        // Not in full: where a password was not encoded, a part of it may be taken for the name of a parameter.
        let mut config: tokio_postgres::Config =
            parameters.url.parse().map_err(|error| format!("{error}"))?;
        config
            .ssl_mode(parameters.ssl_mode())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(STATEMENT_TIMEOUT)
            .application_name("trunkline");
        // Batches differ in size by two orders of magnitude, filters are given or not: one plan does not suit all. And the
        // server gives a slow statement up before we do: its word is a definite no, our own impatience is not.
        let options = config.get_options().unwrap_or_default();
        let server_timeout = SERVER_STATEMENT_TIMEOUT.as_millis();
        let options =
            format!("{options} -c plan_cache_mode=force_custom_plan -c statement_timeout={server_timeout}");
        config.options(options.trim());
        Ok(Self {
            writes: pool(config.clone(), tls.clone(), WRITE_CONNECTIONS_MAX)?,
            reads: pool(config, tls, READ_CONNECTIONS_MAX)?,
        })
    }

    /// Runs one statement that changes something, which is one transaction, and returns its rows.
    async fn write(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        query(&self.writes, sql, params).await
    }

    /// Runs one statement that changes nothing.
    async fn read(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        query(&self.reads, sql, params)
            .await
            .map_err(|error| match error {
                // Whatever became of it, nothing was changed.
                StoreError::OutcomeUnknown(reason) => StoreError::Unavailable(reason),
                other => other,
            })
    }

    /// Runs one statement that returns a row for every row it changes, and returns how many it did.
    async fn change(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        Ok(self.write(sql, params).await?.len() as u64)
    }

    async fn migrate_locked(&self) -> Result<Vec<String>, QueryFailure> {
        let mut client = self.writes.get().await.map_err(QueryFailure::Pool)?;
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
        let limited = tokio::time::timeout(MIGRATION_TIMEOUT, self.migrate_locked()).await;
        limited
            .unwrap_or(Err(QueryFailure::TimedOut))
            .map_err(StoreError::from)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read("select 1", &[]).await.map(drop)
    }

    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        accept::accept(self, batch).await
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        accept::find_accepted(self, batch).await
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        accept::find_repeated(self, request).await
    }

    async fn claim(
        &self,
        provider: &ProviderName,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        outbox::claim(self, provider, limit, lease).await
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        outbox::settle(self, batch).await
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<u64, StoreError> {
        outbox::release(self, leases).await
    }

    async fn sweep(&self, serving: &[ProviderName], limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        outbox::sweep(self, serving, limit).await
    }

    async fn redrive(&self, id: MessageId, deadlines: Deadlines) -> Result<Redriven, StoreError> {
        outbox::redrive(self, id, deadlines).await
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        deadlines: Deadlines,
        limit: u32,
    ) -> Result<u64, StoreError> {
        outbox::redrive_matching(self, None, filter, deadlines, limit).await
    }

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/idempotency_keys/purge.postgres.sql");
        self.change(sql, &[&millis_float(kept), &i64::from(limit)]).await
    }

    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        past::import(self, batch).await
    }

    async fn count_unthreaded(&self) -> Result<u64, StoreError> {
        past::count_unthreaded(self).await
    }

    async fn unthreaded(&self, after: Option<MessageId>, limit: u32) -> Result<Vec<Unthreaded>, StoreError> {
        past::unthreaded(self, after, limit).await
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        past::assign(self, batch).await
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        outbox::depths(self).await
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        messages::detail(self, id).await
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        messages::list(self, filter, page).await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        conversations::get(self, id).await
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<Conversation, ConversationPosition>, StoreError> {
        conversations::list(self, filter, page).await
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        conversations::thread(self, id, page).await
    }
}

/// Why a statement failed, in the words of the client library.
#[derive(Debug)]
enum QueryFailure {
    Pool(PoolError),
    Query(tokio_postgres::Error),
    Refused(String),
    TimedOut,
}

impl QueryFailure {
    /// Whether it lost against another transaction and was rolled back whole.
    fn is_conflict(&self) -> bool {
        let Self::Query(error) = self else { return false };
        error.code().is_some_and(|code| {
            *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
        })
    }

    /// Whether the connection is of no more use.
    fn breaks_connection(&self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::Query(error) => error.code().is_none(),
            Self::Pool(_) | Self::Refused(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for QueryFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}

impl From<QueryFailure> for StoreError {
    fn from(failure: QueryFailure) -> Self {
        match failure {
            QueryFailure::Pool(error) => unavailable(error),
            QueryFailure::Refused(reason) => Self::Refused(reason),
            QueryFailure::TimedOut => Self::OutcomeUnknown("no answer in time".to_owned()),
            QueryFailure::Query(error) => of_query(&error),
        }
    }
}

/// Sorts an error by what it says about the transaction. Only the code and the server's short message are kept: the
/// detail may quote a row.
fn of_query(error: &tokio_postgres::Error) -> StoreError {
    let Some(refusal) = error.as_db_error() else {
        return StoreError::OutcomeUnknown(error.to_string());
    };
    let reason = format!("{} ({})", refusal.message(), refusal.code().code());
    // Classes of SQLSTATE: 53 out of resources, 57 an operator's doing, 40 rolled back, 55 not in the right state,
    // 25006 a standby. A server that goes down says 57P01 or 57P02 even right after a commit, so that tells nothing.
    let code = refusal.code().code();
    match (&code[..2], code) {
        (_, "57P01" | "57P02" | "40003") | ("08", _) => StoreError::OutcomeUnknown(reason),
        ("53" | "57" | "40" | "55", _) | (_, "25006") => StoreError::Unavailable(reason),
        _ => StoreError::Refused(reason),
    }
}

fn unavailable(error: PoolError) -> StoreError {
    let reason = match error {
        PoolError::Backend(error) => error
            .as_db_error()
            .map_or_else(|| in_full(&error), |db| db.message().to_owned()),
        PoolError::Timeout(kind) => format!("no connection in time ({kind:?})"),
        other => other.to_string(),
    };
    StoreError::Unavailable(reason)
}

/// An error of the client library with its causes, which its own text leaves out: what the operating system says, why a
/// certificate is not trusted.
fn in_full(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn pool(config: tokio_postgres::Config, tls: Tls, connections_max: usize) -> Result<Pool, String> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let timeouts = Timeouts {
        wait: Some(CONNECT_TIMEOUT),
        create: Some(CONNECT_TIMEOUT),
        recycle: Some(CONNECT_TIMEOUT),
    };
    Pool::builder(Manager::from_config(config, tls, recycling))
        .max_size(connections_max)
        .timeouts(timeouts)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .build()
        .map_err(|error| error.to_string())
}

/// Runs a statement, again if it lost against another transaction.
async fn query(pool: &Pool, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
    let mut conflicts = 0;
    loop {
        let connection = Busy(Some(pool.get().await.map_err(unavailable)?));
        let failure = match connection.query(sql, params).await {
            Ok(rows) => {
                connection.done();
                return Ok(rows);
            }
            Err(failure) => failure,
        };
        if !failure.breaks_connection() {
            connection.done();
        }
        conflicts += 1;
        if !failure.is_conflict() || conflicts > CONFLICT_RETRIES_MAX {
            return Err(failure.into());
        }
    }
}

/// A connection that is running a statement. Unless that comes to its end, the connection is closed: its answer may still
/// arrive, and whoever used the connection next would have to wait for it.
struct Busy(Option<Object>);

impl Busy {
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, QueryFailure> {
        let Some(client) = &self.0 else {
            return Err(QueryFailure::TimedOut);
        };
        let work = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        };
        match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
            Ok(result) => result.map_err(QueryFailure::Query),
            Err(_) => Err(QueryFailure::TimedOut),
        }
    }

    /// Gives the connection back.
    fn done(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

/// Milliseconds for a `bigint` parameter, at most [`DURATION_MAX`].
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.min(DURATION_MAX).as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds for a parameter that is multiplied with an interval, at most [`DURATION_MAX`].
fn millis_float(duration: Duration) -> f64 {
    duration.min(DURATION_MAX).as_secs_f64() * 1_000.0
}
