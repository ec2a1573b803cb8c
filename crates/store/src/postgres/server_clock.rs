//! The server's clock, so that a statement can check its own deadline.
//!
//! A timed-out statement may still run when a frozen or disconnected server resumes: a refused message would be stored, and
//! entries would be leased to a node that does not know it. Statements that lease therefore carry a deadline in server time
//! and do nothing after it. This fails if the server's clock was frozen as well, or while a node has not read it yet; then the
//! lease runs out.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Timestamp};
use parking_lot::Mutex;
use tokio_postgres::Row;

use super::{connections::STATEMENT_TIMEOUT, rows};

/// The latest reading of the server's clock, which may jump and drift. A statement that wrongly finds itself too late is sent
/// again, with the time from its answer.
#[derive(Debug)]
pub(super) struct ServerClock {
    clock: Arc<dyn Clock>,
    latest: Mutex<Option<Reading>>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    server_time: Timestamp,
    /// When it was asked for, on the node's monotonic clock. The server read its clock later, so deadlines err on the late side.
    asked: Duration,
}

/// When a statement times out.
pub(super) struct StatementDeadline {
    sent: Duration,
    /// In server time; `None` while the server's clock is not known.
    pub(super) server_time: Option<jiff::Timestamp>,
}

impl ServerClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            latest: Mutex::new(None),
        }
    }

    /// The deadline of a statement that is sent now.
    pub(super) fn deadline(&self) -> StatementDeadline {
        let sent = self.clock.monotonic();
        let server_time = self.latest.lock().map(|latest| {
            let since = sent.saturating_sub(latest.asked);
            latest
                .server_time
                .saturating_add(since + STATEMENT_TIMEOUT)
                .into()
        });
        StatementDeadline { sent, server_time }
    }

    /// Keeps the `server_time` of an answer, unless a later statement has brought one.
    pub(super) fn read(&self, deadline: &StatementDeadline, answer: &[Row]) {
        let server_time = answer
            .first()
            .map(|row| rows::get::<jiff::Timestamp>(row, "server_time"));
        let Some(Ok(server_time)) = server_time else {
            return;
        };
        let mut latest = self.latest.lock();
        if latest.is_none_or(|latest| latest.asked <= deadline.sent) {
            *latest = Some(Reading {
                server_time: server_time.into(),
                asked: deadline.sent,
            });
        }
    }
}
