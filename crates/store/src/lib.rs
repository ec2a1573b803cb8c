//! The [`Store`] port, and the two databases behind it: PostgreSQL, which several nodes share, and SQLite, in a file or in
//! memory, for one node. The reference model (`store-model`) and both databases pass one conformance suite
//! (`tests/conformance`).
//!
//! A store takes durations, never instants: leases and due times are measured by the database's clock, so that nodes whose
//! clocks differ agree on them.

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
