//! Where messages live: the [`Store`] port and the three stores behind it.
//!
//! PostgreSQL is what several nodes share, SQLite is the file one node starts on, and the in-memory store is the
//! reference model that tests and the simulation compare the other two with. All three pass one conformance suite
//! (`tests/conformance`), and nothing outside this crate can tell which of them it talks to.
//!
//! A store takes durations, never instants: leases and due times are measured by the database's own clock, so that
//! nodes whose clocks disagree still agree on who may send.

mod group_commit;
mod json;
mod migrations;
mod open;
mod port;
mod postgres;
mod sqlite;

pub use group_commit::{AcceptError, CommitReport, GroupCommit, GroupCommitLimits};
pub use open::{OpenError, open};
pub use port::{
    Accept, Accepted, Accepting, Archive, Assigned, AttemptRecord, ClaimLimits, Claimed, Claims,
    ConversationFilter, DeadLetter, Deadlines, Disposition, FIRST_LEASE, IdempotentRequest, Import, Kind,
    Leased, MessageDetail, MessageFilter, Outage, Outbox, Progress, QUEUE_COUNTED_MAX, QueueDepth, Reads,
    RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, Store, StoreError,
    Unavailable, UnservedRule, Waiting, WithoutConversation, instant_after,
};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
