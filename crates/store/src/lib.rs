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
    ANSWER_KEPT_BYTES, Accept, Accepted, Accepting, AppliedReceipt, Archive, Assigned, AttemptRecord,
    Canceled, Checkpoint, ClaimLimits, Claimed, Claims, ConversationFilter, DELIVERY_ATTEMPTS_KEPT,
    DeadLetter, Deadlines, DeliveryAttempt, Disposition, DueFollowUp, Endpoint, EndpointChange,
    EndpointConfig, EndpointUrl, EventLog, Events, EventsRead, FIRST_LEASE, FollowUpKey, FollowUps,
    IdempotentRequest, Import, KeptDelivery, Kind, Leased, LeasedEndpoint, ListedConversation, MessageDetail,
    MessageFilter, NewEndpoint, Outage, Outbox, PREVIOUS_SECRETS_MAX, PendingLimits, PendingPage, Progress,
    QUEUE_COUNTED_MAX, QueueDepth, RECEIPTS_SHOWN_MAX, Reads, Receipts, RedriveFilter, RedriveTerms,
    Redriven, RedrivenBatch, ReplayFrom, Settled, Settlement, Store, StoreError, StoredReceipt,
    TakenFollowUps, Unavailable, UnservedRule, Waiting, WebhookDelivery, WebhookSecret, Webhooks,
    WithoutConversation, instant_after,
};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
