//! The time as the server has it, so that a statement can tell by itself that it comes too late.
//!
//! Nobody waits for a statement for ever. One that was given up may still lie in the socket of a server that was frozen or cut
//! off, and is carried out when that wakes up: a message that was refused would be stored, and entries would be leased to a node
//! that does not know. So what leases is told until when somebody waits for it, and does nothing after that. It cannot tell
//! when the server's clock stood still with it, nor on a node that has not heard from the server yet; then a lease runs out.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::BytesMut;
use domain::{Clock, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio_postgres::{
    Row,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{connections::STATEMENT_TIMEOUT, rows};
use crate::StoreError;

/// What we know of the server's clock. It may jump, and drift away from ours: whoever was wrongly told to be late asks again,
/// with what the answer said.
#[derive(Debug)]
pub(super) struct ServerClock {
    clock: Arc<dyn Clock>,
    told: Mutex<Option<Told>>,
}

/// What the server's clock said.
#[derive(Debug, Clone, Copy)]
struct Told {
    now: Timestamp,
    /// When it was asked, on our monotonic clock. It looked later than that, so we are rather too patient than too hasty.
    asked: Duration,
}

impl ServerClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            told: Mutex::new(None),
        }
    }

    /// The parameter of a statement that says until when it is waited for.
    pub(super) fn deadline(&self) -> StatementDeadline<'_> {
        StatementDeadline {
            server: self,
            asked: Mutex::new(Duration::ZERO),
        }
    }
}

/// Until when somebody waits for a statement, counted from when it is sent, each time it is; null while the server's clock is
/// not known.
#[derive(Debug)]
pub(super) struct StatementDeadline<'a> {
    server: &'a ServerClock,
    /// When it was sent last.
    asked: Mutex<Duration>,
}

impl StatementDeadline<'_> {
    /// Notes what time the answer says it is, unless somebody has asked since.
    pub(super) fn heard(&self, row: &Row) -> Result<(), StoreError> {
        let now = rows::get::<jiff::Timestamp>(row, "server_time")?.into();
        let asked = *lock(&self.asked);
        let mut told = lock(&self.server.told);
        if told.is_none_or(|told| told.asked <= asked) {
            *told = Some(Told { now, asked });
        }
        Ok(())
    }
}

impl ToSql for StatementDeadline<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let asked = self.server.clock.monotonic();
        *lock(&self.asked) = asked;
        let until = lock(&self.server.told).map(|told| {
            let since = asked.saturating_sub(told.asked);
            jiff::Timestamp::from(told.now.saturating_add(since + STATEMENT_TIMEOUT))
        });
        until.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <jiff::Timestamp as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
