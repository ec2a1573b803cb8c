//! Connections, and statements on them, bounded in number and in time.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Timeouts};
use tokio_postgres::{Row, types::ToSql};

use super::{
    failure::{QueryFailure, unavailable},
    tls::Tls,
};
use crate::StoreError;

/// How long a statement waits for a connection, and a connection for the server.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How long a statement may take. Shorter than what a client of the API is made to wait for a `503`.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the server lets a statement run before it rolls it back and says so: its word is a definite no, our own
/// impatience is not.
const SERVER_STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// How often a statement that lost against another transaction (deadlock, serialization, the same request) is run again.
const CONFLICT_RETRIES_MAX: u32 = 5;

/// How statements are planned (docs/decisions/0005).
#[derive(Clone, Copy)]
pub(super) enum Planning {
    /// Once for each connection, and only along indexes.
    Once,
    /// For the parameters at hand, each time.
    EachTime,
}

/// Some connections to the server.
#[derive(Debug)]
pub(super) struct Connections(Pool);

impl Connections {
    pub(super) fn new(
        mut config: tokio_postgres::Config,
        tls: Tls,
        connections_max: usize,
        planning: Planning,
    ) -> Result<Self, String> {
        let planning = match planning {
            Planning::Once => {
                "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off \
                 -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
            }
            Planning::EachTime => "-c plan_cache_mode=force_custom_plan",
        };
        let options = format!(
            "{} {planning} -c statement_timeout={}",
            config.get_options().unwrap_or_default(),
            SERVER_STATEMENT_TIMEOUT.as_millis(),
        );
        config.options(options.trim());
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let timeouts = Timeouts {
            wait: Some(CONNECT_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        };
        let pool = Pool::builder(Manager::from_config(config, tls, recycling))
            .max_size(connections_max)
            .timeouts(timeouts)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build();
        Ok(Self(pool.map_err(|error| error.to_string())?))
    }

    /// A connection as it is, without limits.
    pub(super) async fn get(&self) -> Result<Object, QueryFailure> {
        self.0.get().await.map_err(QueryFailure::Pool)
    }

    /// Runs one statement, which is one transaction, again if it lost against another one.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let mut conflicts = 0;
        loop {
            let busy = self.busy().await?;
            let client = busy.client();
            let mut sent = false;
            let work = async {
                let statement = client.prepare_cached(sql).await?;
                sent = true;
                Ok(client.query(&statement, params).await?)
            };
            let result = tokio::time::timeout(STATEMENT_TIMEOUT, work).await;
            match result.unwrap_or(Err(QueryFailure::TimedOut)) {
                Ok(rows) => {
                    busy.done();
                    return Ok(rows);
                }
                Err(failure) => {
                    if !failure.breaks_connection() {
                        busy.done();
                    }
                    if failure.is_conflict() {
                        conflicts += 1;
                        if conflicts <= CONFLICT_RETRIES_MAX {
                            continue;
                        }
                        let reason = "it kept losing against other transactions";
                        return Err(StoreError::Unavailable(reason.to_owned()));
                    }
                    let error = StoreError::from(failure);
                    return Err(if sent { error } else { error.of_nothing_changed() });
                }
            }
        }
    }

    /// Reads one row that may be large, for as long as `within`, which the server is told too.
    pub(super) async fn load(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Row, StoreError> {
        let mut busy = self.busy().await?;
        let work = async {
            let transaction = busy.client_mut().transaction().await?;
            let limit = format!("set local statement_timeout = {}", within.as_millis());
            transaction.batch_execute(&limit).await?;
            let statement = transaction.prepare_cached(sql).await?;
            let row = transaction.query_one(&statement, params).await?;
            transaction.commit().await?;
            Ok(row)
        };
        let result = tokio::time::timeout(within, work).await;
        let result = result.unwrap_or(Err(QueryFailure::TimedOut));
        if result
            .as_ref()
            .map_or_else(|failure| !failure.breaks_connection(), |_| true)
        {
            busy.done();
        }
        result.map_err(|failure| StoreError::from(failure).of_nothing_changed())
    }

    async fn busy(&self) -> Result<Busy, StoreError> {
        Ok(Busy(Some(self.0.get().await.map_err(unavailable)?)))
    }
}

/// A connection that is at work. Unless that comes to its end, the connection is closed: its answer may still arrive, and
/// whoever used the connection next would have to wait for it.
struct Busy(Option<Object>);

impl Busy {
    fn client(&self) -> &Object {
        self.0.as_ref().expect("it is taken only by those who own this")
    }

    fn client_mut(&mut self) -> &mut Object {
        self.0.as_mut().expect("it is taken only by those who own this")
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
