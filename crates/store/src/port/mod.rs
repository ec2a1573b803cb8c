//! The store port: small traits by use, their types, and [`Store`], which joins them.

mod accept;
mod archive;
mod events;
mod follow_ups;
mod outage;
mod outbox;
mod reads;
mod receipts;
mod webhooks;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use domain::Timestamp;
use thiserror::Error;

pub use accept::{Accept, Accepted, Accepting, FIRST_LEASE, IdempotentRequest, Kind};
pub use archive::{Archive, Assigned, Import, WithoutConversation};
pub use events::{EventLog, Events, EventsRead};
pub use follow_ups::{DueFollowUp, FollowUpKey, FollowUps, TakenFollowUps};
pub use outage::{Outage, Unavailable};
pub use outbox::{
    AttemptRecord, Canceled, ClaimLimits, Claimed, Claims, DeadLetter, Deadlines, Disposition, Leased,
    Outbox, Progress, QUEUE_COUNTED_MAX, QueueDepth, RedriveFilter, RedriveTerms, Redriven, RedrivenBatch,
    Settled, Settlement, UnservedRule,
};
pub use reads::{ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, Waiting};
pub use receipts::{AppliedReceipt, RECEIPTS_SHOWN_MAX, Receipts, StoredReceipt};
pub use webhooks::{
    ANSWER_KEPT_BYTES, Checkpoint, DELIVERY_ATTEMPTS_KEPT, DeliveryAttempt, Endpoint, EndpointChange,
    EndpointConfig, EndpointUrl, KeptDelivery, LeasedEndpoint, NewEndpoint, PREVIOUS_SECRETS_MAX,
    PendingLimits, PendingPage, ReplayFrom, WebhookDelivery, WebhookSecret, Webhooks,
};

/// Durable storage. Every method of every trait is one transaction: it takes effect whole or not at all. Durations are cut to
/// a thousand years.
#[async_trait]
pub trait Store:
    Accepting + Outbox + FollowUps + Receipts + Reads + Events + Webhooks + Archive + Debug
{
    /// Brings the schema up to date and returns the names of the migrations it applied. Fails also when the schema is newer
    /// than this program.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// Checks that an accept would be stored now. It commits a write on a connection of its own, so reads and accepts under
    /// way do not delay it. No other method shows that write. It answers within 2 s; overlapping calls may share one write.
    ///
    /// # Errors
    /// When an accept would not be stored: the store cannot be reached, is read-only, full or locked by another program.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Finishes the work under way and leaves files that another program can read. Later calls fail. A store that is dropped
    /// without it loses nothing.
    async fn close(&self) {}
}

/// The longest duration that is kept. Longer ones would leave the calendar, so that one absurd Retry-After fails a whole
/// batch.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(1_000 * 31_556_952);

/// The instant `duration` after `now`, at most a thousand years later.
#[must_use]
pub fn instant_after(now: Timestamp, duration: Duration) -> Timestamp {
    now.saturating_add(duration.min(DURATION_MAX))
}

/// Why a store method failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot be reached or is too slow. Nothing was changed; try again.
    #[error("the store is unavailable: {0}")]
    Unavailable(Unavailable),
    /// The connection was lost before the result came: the change may be stored or not.
    #[error("the store may or may not have stored the change: {0}")]
    OutcomeUnknown(String),
    /// The database refuses this for good. Nothing was changed; trying again does not help.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl StoreError {
    pub fn unavailable(outage: Outage, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Unavailable(Unavailable { outage, reason })
    }

    /// The same error for work that cannot have changed anything.
    pub(crate) fn of_nothing_changed(self) -> Self {
        match self {
            Self::OutcomeUnknown(reason) => Self::unavailable(Outage::Away, reason),
            other => other,
        }
    }
}
