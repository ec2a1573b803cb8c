//! Errors of the client library, and what each says about the fate of what was asked.

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::hosts::in_full;
use crate::{Outage, StoreError, Unavailable};

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum QueryFailure {
    /// There was no connection for it.
    NoConnection(Unavailable),
    Query(tokio_postgres::Error),
    Refused(String),
    TimedOut,
}

impl QueryFailure {
    /// Whether it lost against another transaction and was rolled back whole.
    pub(super) fn is_conflict(&self) -> bool {
        let Some(error) = self.of_server() else {
            return false;
        };
        match *error.code() {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => true,
            // Another node was given the same request at the same moment (sql/messages/accept).
            SqlState::UNIQUE_VIOLATION => matches!(
                error.constraint(),
                Some("idempotency_keys_pkey" | "inbound_ids_pkey")
            ),
            _ => false,
        }
    }

    /// Whether the connection is of no more use, and neither are those that are as old: the server is not what it was.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::Refused(_) => false,
            Self::TimedOut => true,
            Self::Query(error) => error.as_db_error().is_none_or(|error| {
                ends_connection(error)
                    // Read-only, as after a failover; a plan that a change of the schema made useless; prepared statements
                    // that are not there, or belong to another, as behind a pooler that pools by transaction.
                    || matches!(error.code().code(), "25006" | "0A000" | "26000" | "42P05")
            }),
        }
    }

    /// Whether the server says that it rolled everything back.
    pub(super) fn changed_nothing(&self) -> bool {
        self.of_server()
            .is_some_and(|error| !ends_connection(error) && error.code().code() != "40003")
    }

    /// Whether it took all the time there was.
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

/// Whether the server ends the connection with this. It does so even right after a commit, so it tells nothing of the fate.
fn ends_connection(error: &DbError) -> bool {
    let code = error.code().code();
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || code.starts_with("08")
        || matches!(
            code,
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04"
        )
}

/// What a server's refusal says about the server.
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
                // The server's short message and its code: the detail may quote a row.
                let reason = in_full(&error);
                let class = error.code().map(|code| &code.code()[..2]);
                match class {
                    // A value that cannot be stored (22), a rule that it breaks (23): the only refusals that are final.
                    Some("22" | "23") => Self::Refused(reason),
                    _ if changed_nothing => Self::unavailable(outage(&error), reason),
                    _ => Self::OutcomeUnknown(reason),
                }
            }
        }
    }
}
