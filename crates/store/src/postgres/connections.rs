//! A pool of connections, and statements on them, bounded in number and time.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::{Row, types::ToSql};

use super::{failure::QueryFailure, hosts::Hosts, server_clock::ServerClock, session::Session};
use crate::{Outage, StoreError, Unavailable};

/// How long a statement may take: shorter than the time in which a client gets a `503`.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a reading statement may take, including waiting and connecting.
const READ_TIMEOUT: Duration = Duration::from_millis(1_900);
/// How long a statement waits while all connections are in use.
const SLOT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How often a statement runs again after a conflict with another transaction (deadlock, serialization, the same request).
const CONFLICT_RETRIES_MAX: u32 = 5;
/// How long an abandoned statement may run before it is cancelled. Most end sooner, and their connection is used again.
const ABANDONED_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a cancelled statement keeps its slot. A server that is alive ends it at once; one that hangs must not keep
/// the node from connecting to another.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);

/// The server plans statements once for each connection, and only along indexes (docs/decisions/0005).
pub(super) const PLANNED_ONCE: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";
/// The server plans statements each time, for the given parameters, along indexes that have the wanted order: its
/// statistics are wrong for a table that was never analyzed, or was empty then.
pub(super) const PLANNED_EACH_TIME: &str = "set plan_cache_mode = force_custom_plan; set enable_seqscan = off;
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_sort = off; set jit = off";

/// Whether a statement writes. Only a primary takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It changes nothing, so it can run again after any failure.
    Read,
    Write,
}

#[derive(Clone)]
pub(super) struct Connections(Arc<Pool>);

struct Pool {
    hosts: Arc<Hosts>,
    /// Statements that run on each new connection.
    settings: String,
    connections_max: usize,
    slots: Arc<Semaphore>,
    /// Unused connections. The one used last is used next, so that the others age out.
    idle: Mutex<Vec<Session>>,
}

impl Connections {
    /// Connects on first use. `settings` run on each new connection.
    pub(super) fn new(hosts: Arc<Hosts>, connections_max: usize, settings: String) -> Self {
        Self(Arc::new(Pool {
            hosts,
            settings,
            connections_max,
            slots: Arc::new(Semaphore::new(connections_max)),
            idle: Mutex::default(),
        }))
    }

    /// Runs one statement that may change data, as one transaction.
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

    /// Runs one statement that only reads.
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

    /// Runs one statement. It runs again after a conflict with another transaction, and once on a new connection if the old
    /// one failed before anything can have changed.
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

    /// Reads rows that may be large, for at most `within`, which is also the server's limit for the statement.
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

    /// A connection for exclusive use.
    ///
    /// # Errors
    /// When none is free or can be opened in time.
    pub(super) async fn lend(&self, access: Access) -> Result<Lent, QueryFailure> {
        let slot = self.slot().await?;
        let session = match self.0.take_idle(access) {
            Some(session) => session,
            None => self.connect(access).await?,
        };
        Ok(self.0.lent(session, slot))
    }

    /// A new connection for exclusive use, even if an old one is free.
    ///
    /// # Errors
    /// When none can be opened in time.
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
    /// The usable connection that was used last. Connections that are too old are closed.
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

    /// Ends the statement of an abandoned connection, and closes the connection unless the statement ends soon. The slot is
    /// taken until then, so the server never runs more statements of this pool than there are slots.
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
        // Not used again: the cancellation may arrive late and hit the next statement.
        session.close().await;
        drop(slot);
    }
}

/// A connection in use. If it is dropped without being given back, its statement is cancelled.
pub(super) struct Lent {
    pool: Arc<Pool>,
    held: Option<(Session, OwnedSemaphorePermit)>,
}

impl Lent {
    pub(super) fn session(&mut self) -> &mut Session {
        let (session, _) = self
            .held
            .as_mut()
            .expect("only methods that consume this take it");
        session
    }

    /// Gives the connection back. No statement runs on it.
    pub(super) fn give_back(mut self) {
        if let Some((session, _slot)) = self.held.take() {
            lock(&self.pool.idle).push(session);
        }
    }

    /// Gives the connection back after a failure. If the failure shows that it is unusable, closes it and all that are as
    /// old.
    pub(super) fn failed(self, failure: &QueryFailure) {
        if !failure.breaks_connection() {
            return self.give_back();
        }
        if let Some((session, _)) = &self.held {
            self.pool.hosts.distrust(session);
        }
        if failure.took_long() {
            // The statement may still run; the drop cancels it.
            return;
        }
        self.close();
    }

    /// Closes the connection. No statement runs on it.
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
        // Without a runtime, the process and its connections end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(Arc::clone(&self.pool).clean_up(session, slot));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
