//! Connections, and statements on them, bounded in number and in time.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::{Row, types::ToSql};

use super::{failure::QueryFailure, hosts::Hosts, server_clock::ServerClock, session::Session};
use crate::{Outage, StoreError, Unavailable};

/// How long a statement may take. Shorter than what a client of the API is made to wait for a `503`.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a statement that only reads may take, with waiting and connecting.
const READ_TIMEOUT: Duration = Duration::from_millis(1_900);
/// How long a statement waits while all connections are in use.
const SLOT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How often a statement that lost against another transaction (deadlock, serialization, the same request) is run again.
const CONFLICT_RETRIES_MAX: u32 = 5;
/// How long an abandoned statement may still run before it is cancelled. Most end sooner, and their connection is used again.
const ABANDONED_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a cancelled statement keeps its place. A server that is alive ends it at once; one that is not must not keep us
/// from connecting to another.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);

/// Makes the server plan statements once for each connection, and only along indexes (docs/decisions/0005).
pub(super) const PLANNED_ONCE: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";
/// Makes the server plan statements for the parameters at hand, each time, and along indexes wherever one has the order that is
/// wanted: what it knows of a table that it never analyzed, or analyzed while it was empty, is wrong.
pub(super) const PLANNED_EACH_TIME: &str = "set plan_cache_mode = force_custom_plan; set enable_seqscan = off;
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_sort = off; set jit = off";

/// What a statement does, and therefore which server will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It changes nothing, so it may be run again whatever happened to it.
    Read,
    Write,
}

/// Some connections to the server.
#[derive(Clone)]
pub(super) struct Connections(Arc<Pool>);

struct Pool {
    hosts: Arc<Hosts>,
    /// Statements that make the settings of its connections.
    settings: String,
    connections_max: usize,
    slots: Arc<Semaphore>,
    /// Those that are not in use; the one that was used last is used next, so the others grow old.
    idle: Mutex<Vec<Session>>,
}

impl Connections {
    /// Nothing is connected before the first use. `settings` are made on each connection.
    pub(super) fn new(hosts: Arc<Hosts>, connections_max: usize, settings: String) -> Self {
        Self(Arc::new(Pool {
            hosts,
            settings,
            connections_max,
            slots: Arc::new(Semaphore::new(connections_max)),
            idle: Mutex::default(),
        }))
    }

    /// Runs one statement that may change something, which is one transaction.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(Access::Write, sql, params, None).await
    }

    /// The same, for a statement that checks its own deadline: its last parameter is the deadline in server time, and its
    /// answer has the `server_time`.
    pub(super) async fn query_by_deadline(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        clock: &ServerClock,
    ) -> Result<Vec<Row>, StoreError> {
        self.run(Access::Write, sql, params, Some(clock)).await
    }

    /// Runs one statement that changes nothing.
    pub(super) async fn read(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let rows = timeout(READ_TIMEOUT, self.run(Access::Read, sql, params, None)).await;
        let late = |_| {
            StoreError::unavailable(
                Outage::Slow,
                format!("the read got no answer within {READ_TIMEOUT:?}"),
            )
        };
        rows.map_err(late)?.map_err(StoreError::of_nothing_changed)
    }

    /// Runs one statement. It runs again if it lost against another transaction, and once more on a new connection if the
    /// fault was the connection's and nothing can have happened.
    async fn run(
        &self,
        access: Access,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        clock: Option<&ServerClock>,
    ) -> Result<Vec<Row>, StoreError> {
        let (mut conflicts, mut reconnected) = (0, false);
        loop {
            let mut lent = self.lend(access).await?;
            let mut sent = false;
            let deadline = clock.map(|clock| (clock, clock.deadline()));
            let mut params = params.to_vec();
            params.extend(
                deadline
                    .iter()
                    .map(|(_, deadline)| &deadline.server_time as &(dyn ToSql + Sync)),
            );
            let work = lent.session().query(sql, &params, &mut sent);
            let failure = match timeout(STATEMENT_TIMEOUT, work).await {
                Ok(Ok(rows)) => {
                    lent.give_back();
                    if let Some((clock, deadline)) = &deadline {
                        clock.read(deadline, &rows);
                    }
                    return Ok(rows);
                }
                Ok(Err(failure)) => failure,
                Err(_) => QueryFailure::TimedOut,
            };
            lent.failed(&failure);
            if failure.is_conflict() {
                conflicts += 1;
                if conflicts <= CONFLICT_RETRIES_MAX {
                    continue;
                }
                let reason = "the statement lost against other transactions each time it was tried";
                return Err(StoreError::unavailable(Outage::Busy, reason));
            }
            let harmless = !sent || access == Access::Read || failure.changed_nothing();
            if failure.breaks_connection() && harmless && !failure.took_long() && !reconnected {
                reconnected = true;
                continue;
            }
            let error = StoreError::from(failure);
            return Err(if sent { error } else { error.of_nothing_changed() });
        }
    }

    /// Reads rows that may be large, for at most `within`, which is the server's limit for the statement, too.
    pub(super) async fn query_within(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        let mut lent = self.lend(Access::Write).await?;
        let work = async {
            let transaction = lent.session().client().transaction().await?;
            let limit = format!("set local statement_timeout = {}", within.as_millis());
            transaction.batch_execute(&limit).await?;
            let rows = transaction.query(sql, params).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        match timeout(within, work).await.unwrap_or(Err(QueryFailure::TimedOut)) {
            Ok(rows) => {
                lent.give_back();
                Ok(rows)
            }
            Err(failure) => {
                lent.failed(&failure);
                Err(StoreError::from(failure).of_nothing_changed())
            }
        }
    }

    /// A connection for the caller alone.
    ///
    /// # Errors
    /// When none is free or can be made in time.
    pub(super) async fn lend(&self, access: Access) -> Result<Lent, QueryFailure> {
        let slot = self.slot().await?;
        let session = match self.0.take_idle(access) {
            Some(session) => session,
            None => self.connect(access).await?,
        };
        Ok(self.0.lent(session, slot))
    }

    /// A new connection for the caller alone, even if one is free.
    ///
    /// # Errors
    /// When none can be made in time.
    pub(super) async fn lend_new(&self) -> Result<Lent, QueryFailure> {
        let slot = self.slot().await?;
        Ok(self.0.lent(self.connect(Access::Write).await?, slot))
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, QueryFailure> {
        let slot = timeout(SLOT_TIMEOUT, Arc::clone(&self.0.slots).acquire_owned()).await;
        slot.ok().and_then(Result::ok).ok_or_else(|| {
            let reason = format!(
                "all {} connections are in use, none was free within {SLOT_TIMEOUT:?}",
                self.0.connections_max
            );
            QueryFailure::NoConnection(Unavailable {
                outage: Outage::Busy,
                reason,
            })
        })
    }

    async fn connect(&self, access: Access) -> Result<Session, QueryFailure> {
        let connected = self.0.hosts.connect(&self.0.settings, access).await;
        connected.map_err(QueryFailure::NoConnection)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections(at most {})", self.0.connections_max)
    }
}

impl Pool {
    /// The connection that was used last, if it still may be. Those that may not are closed.
    fn take_idle(&self, access: Access) -> Option<Session> {
        let mut idle = lock(&self.idle);
        idle.retain(|session| self.may_use(session));
        let place = idle
            .iter()
            .rposition(|session| access == Access::Read || session.facts.writable)?;
        Some(idle.remove(place))
    }

    fn may_use(&self, session: &Session) -> bool {
        !session.is_closed() && self.hosts.trusts(session)
    }

    fn lent(self: &Arc<Self>, session: Session, slot: OwnedSemaphorePermit) -> Lent {
        Lent {
            pool: Arc::clone(self),
            held: Some((session, slot)),
        }
    }

    /// Ends what runs on a connection that was given up, and the connection unless that ended soon. Its slot stays taken
    /// until then: the server never has more of our statements than there are slots.
    async fn clean_up(self: Arc<Self>, session: Session, slot: OwnedSemaphorePermit) {
        if self.may_use(&session) && matches!(timeout(ABANDONED_TIMEOUT, session.idle()).await, Ok(Ok(()))) {
            lock(&self.idle).push(session);
            return;
        }
        let ended = async {
            session.cancel(self.hosts.tls()).await;
            session.idle().await
        };
        let _ = timeout(CANCEL_TIMEOUT, ended).await;
        // Never used again: the cancellation may arrive late, and would hit the next statement.
        session.close().await;
        drop(slot);
    }
}

/// A connection in use. Unless it is given back, what runs on it is cancelled.
pub(super) struct Lent {
    pool: Arc<Pool>,
    held: Option<(Session, OwnedSemaphorePermit)>,
}

impl Lent {
    pub(super) fn session(&mut self) -> &mut Session {
        let (session, _) = self
            .held
            .as_mut()
            .expect("it is taken only by those who own this");
        session
    }

    /// Gives the connection back: nothing runs on it.
    pub(super) fn give_back(mut self) {
        if let Some((session, _slot)) = self.held.take() {
            lock(&self.pool.idle).push(session);
        }
    }

    /// Gives the connection back after a failure, or closes it with all that are as old, if the failure says that it is of no
    /// more use.
    pub(super) fn failed(self, failure: &QueryFailure) {
        if !failure.breaks_connection() {
            return self.give_back();
        }
        if let Some((session, _)) = &self.held {
            self.pool.hosts.distrust(session);
        }
        if failure.took_long() {
            // The statement may still run: dropping this cancels it.
            return;
        }
        self.close();
    }

    /// Closes the connection: nothing runs on it.
    pub(super) fn close(mut self) {
        if let Some((session, slot)) = self.held.take() {
            tokio::spawn(async move {
                session.close().await;
                drop(slot);
            });
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some((session, slot)) = self.held.take() else {
            return;
        };
        // Without a runtime the process ends, and the connection with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(Arc::clone(&self.pool).clean_up(session, slot));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
