//! Errors of the client library, and what each says about the fate of what was asked.

use std::error::Error;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Why a statement failed, in the words of the client library.
#[derive(Debug)]
pub(super) enum QueryFailure {
    Pool(PoolError),
    Query(tokio_postgres::Error),
    Refused(String),
    TimedOut,
}

impl QueryFailure {
    /// Whether it lost against another transaction and was rolled back whole.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Query(error) = self else { return false };
        let Some(error) = error.as_db_error() else {
            return false;
        };
        match *error.code() {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => true,
            // Another node was given the same request at the same moment (sql/messages/accept).
            SqlState::UNIQUE_VIOLATION => matches!(
                error.constraint(),
                Some("idempotency_keys_pkey" | "receipts_pkey")
            ),
            _ => false,
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::TimedOut => true,
            // With these, the server ends the connection.
            Self::Query(error) => error
                .code()
                .is_none_or(|code| matches!(code.code(), "57P01" | "57P02" | "57P05" | "25P03")),
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
    // Classes of SQLSTATE: 53 out of resources, 57 an operator's doing, 40 rolled back, 55 not in the right state, 25 a
    // transaction that ended or may not write, as on a standby. A server that goes down says 57P01 or 57P02 even right after
    // a commit, so that tells nothing.
    let code = refusal.code().code();
    match (&code[..2], code) {
        (_, "57P01" | "57P02" | "40003") | ("08", _) => StoreError::OutcomeUnknown(reason),
        ("53" | "57" | "40" | "55" | "25", _) => StoreError::Unavailable(reason),
        _ => StoreError::Refused(reason),
    }
}

pub(super) fn unavailable(error: PoolError) -> StoreError {
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
