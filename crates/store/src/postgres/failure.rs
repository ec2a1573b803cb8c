//! Errors of the client library, and whether each leaves something changed.

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::hosts::in_full;
use crate::{Outage, StoreError, Unavailable};

#[derive(Debug)]
pub(super) enum QueryFailure {
    NoConnection(Unavailable),
    Query(tokio_postgres::Error),
    Refused(String),
    TimedOut,
}

impl QueryFailure {
    /// Whether it conflicted with another transaction and was rolled back.
    pub(super) fn is_conflict(&self) -> bool {
        let Some(error) = self.of_server() else {
            return false;
        };
        match *error.code() {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => true,
            // Another node accepts the same request at the same time (sql/messages/accept).
            SqlState::UNIQUE_VIOLATION => matches!(
                error.constraint(),
                Some("idempotency_keys_pkey" | "inbound_ids_pkey")
            ),
            _ => false,
        }
    }

    /// Whether this connection, and all that are as old, are unusable because the server changed.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::Refused(_) => false,
            Self::TimedOut => true,
            Self::Query(error) => error.as_db_error().is_none_or(|error| {
                ends_connection(error)
                    // Read-only, as after a failover; a plan that does not fit the changed schema; prepared statements that
                    // are missing or belong to another client, as behind a pooler that pools by transaction.
                    || matches!(error.code().code(), "25006" | "0A000" | "26000" | "42P05")
            }),
        }
    }

    /// Whether the server says that it rolled back.
    pub(super) fn changed_nothing(&self) -> bool {
        self.of_server()
            .is_some_and(|error| !ends_connection(error) && error.code().code() != "40003")
    }

    /// Whether the time for the statement ran out.
    pub(super) fn took_long(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    fn of_server(&self) -> Option<&DbError> {
        match self {
            Self::Query(error) => error.as_db_error(),
            _ => None,
        }
    }
}

/// Whether the server ends the connection with this error. It may do so right after a commit, so the outcome is unknown.
fn ends_connection(error: &DbError) -> bool {
    let code = error.code().code();
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || code.starts_with("08")
        || matches!(
            code,
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04"
        )
}

/// The outage that an error of the server shows.
fn outage(error: &tokio_postgres::Error) -> Outage {
    match error.code().map(SqlState::code) {
        Some("25006") => Outage::ReadOnly,
        Some("53100") => Outage::Full,
        Some("55P03") => Outage::Locked,
        Some("57014") => Outage::Slow,
        Some("40001" | "40P01" | "53200" | "53300" | "53400") => Outage::Busy,
        _ => Outage::Away,
    }
}

impl From<tokio_postgres::Error> for QueryFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}

impl From<QueryFailure> for StoreError {
    fn from(failure: QueryFailure) -> Self {
        let changed_nothing = failure.changed_nothing();
        match failure {
            QueryFailure::NoConnection(unavailable) => Self::Unavailable(unavailable),
            QueryFailure::Refused(reason) => Self::Refused(reason),
            QueryFailure::TimedOut => {
                Self::OutcomeUnknown("no answer within the time for a statement".to_owned())
            }
            QueryFailure::Query(error) => {
                // Only the server's short message and code: the detail may quote a row.
                let reason = in_full(&error);
                let class = error.code().map(|code| &code.code()[..2]);
                match class {
                    // Only these are final: a value that cannot be stored (22), a violated constraint (23).
                    Some("22" | "23") => Self::Refused(reason),
                    _ if changed_nothing => Self::unavailable(outage(&error), reason),
                    _ => Self::OutcomeUnknown(reason),
                }
            }
        }
    }
}
