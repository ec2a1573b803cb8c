use std::time::Duration;

use async_trait::async_trait;
use domain::{Event, EventId};

use crate::StoreError;

/// Reads the event log. Events are written by the methods that make the changes, in their transactions.
///
/// All readers see the same order, and it never changes: once a reader has seen an event, no event appears before it. Two events
/// of one message are in the order in which they happened.
#[async_trait]
pub trait Events: Send + Sync {
    /// Up to `limit` events after a place in the log. All events of transactions that were committed before the call are part of
    /// the log.
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError>;

    async fn event_log(&self) -> Result<EventLog, StoreError>;

    /// Deletes events older than `kept`, the oldest first, up to about `limit` in one call. Returns how many it deleted.
    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// The result of [`Events::events`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsRead {
    Events(Vec<Event>),
    /// Events after that place were deleted. Those that are left are after `start`.
    Expired {
        start: EventId,
    },
}

/// The ends of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventLog {
    /// Before the oldest event that is kept.
    pub start: EventId,
    /// The latest event, or `start` without any.
    pub end: EventId,
}
