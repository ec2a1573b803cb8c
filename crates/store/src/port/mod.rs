//! The port: what a store is asked, and the words for it.

mod accept;
mod import;
mod outbox;
mod reads;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use domain::{
    Conversation, ConversationId, ConversationKey, ConversationPosition, LeaseToken, Message, MessageId,
    Page, PageRequest, ProviderName, ThreadPosition, Timestamp,
};
use thiserror::Error;

pub use accept::{Accept, Accepted, FIRST_LEASE, IdempotentRequest, Kind};
pub use import::{Assigned, Import, WithoutConversation};
pub use outbox::{
    AttemptRecord, ClaimLimits, Claimed, Claims, DeadLetter, Deadlines, Disposition, Leased, Progress,
    RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, UnservedRule,
};
pub use reads::{ConversationFilter, MessageDetail, MessageFilter, QUEUE_COUNTED_MAX, QueueDepth, Waiting};

/// Durable storage. Every method is one transaction: it happens whole or not at all. Durations are cut to a thousand
/// years.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Brings the schema up to date and returns the names of the migrations that this took.
    ///
    /// # Errors
    /// As every method; also when the schema is newer than this program.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// Tells whether an accept would be stored now. It writes durably and waits as a commit waits, on a connection of its
    /// own, so neither reads nor accepts under way hold it up. It leaves nothing that another method shows. It answers
    /// within 2 s; calls that overlap may share one write.
    ///
    /// # Errors
    /// When an accept would not be stored: the store is away, read-only, full, or locked by another program, or no
    /// connection to it is to be had.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Ends in an orderly way: does what is under way, and leaves files that another program can read. Calls that come later
    /// fail. A store that is dropped without it loses nothing.
    async fn close(&self) {}

    /// Accepts messages: keys, conversations, messages and outbox entries, all of the batch or none. The answers are
    /// in the order of the batch. Only [`GroupCommit`](crate::GroupCommit) calls this.
    ///
    /// # Errors
    /// [`StoreError::Refused`] concerns one of the batch for good: bisect. After [`StoreError::OutcomeUnknown`], ask
    /// [`Store::find_accepted`].
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError>;

    /// What became of messages whose commit went unanswered: `None` where nothing is (yet) to be found. What is found is as
    /// durable as what [`Store::accept`] returns.
    ///
    /// # Errors
    /// As every method.
    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError>;

    /// What an earlier request with this key was answered: [`Accepted::Repeated`] or [`Accepted::KeyConflict`]. What is
    /// found is as durable as what [`Store::accept`] returns.
    ///
    /// # Errors
    /// As every method.
    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError>;

    /// Leases due entries of a provider within `limits`, those due longest first, for `lease`. The try of a worker whose
    /// lease ran out is recorded as `unknown` before its entry is handed out again; it does not count against the budget,
    /// since it is not known whether there was a call.
    ///
    /// # Errors
    /// As every method.
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError>;

    /// Records what came of leased entries. The answers are in the order of the batch; an entry appears at most once. The
    /// evidence of lost leases may be added in a second transaction: it changes nothing else.
    ///
    /// # Errors
    /// As every method.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError>;

    /// Gives back leased entries without an attempt, as if they had never been claimed. Returns those that were held, in the
    /// order given.
    ///
    /// # Errors
    /// As every method.
    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError>;

    /// Announces that a node serves these providers, and notes which others have entries. Nodes do so every few seconds;
    /// `gap_max` is that of [`UnservedRule`].
    ///
    /// # Errors
    /// As every method.
    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError>;

    /// Dead-letters up to `limit` entries that no node holds and whose deadline has passed, or whose provider is neither among
    /// `serving` nor, by the rule, served by another node. The try of a worker whose lease ran out is recorded as `unknown`
    /// before, as in a claim.
    ///
    /// # Errors
    /// As every method.
    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Makes a dead letter pending again, with a fresh route, budget and deadline; its attempts go on counting.
    ///
    /// # Errors
    /// As every method.
    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError>;

    /// Redrives up to `limit` dead letters, those that were accepted first before others.
    ///
    /// # Errors
    /// As every method.
    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError>;

    /// Forgets up to `limit` idempotency keys older than `kept`, and returns how many.
    ///
    /// # Errors
    /// As every method.
    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Stores past messages: nobody sends them, and they have no conversation until [`Store::assign`] gives them one. Those
    /// whose provider message id is known already are left out. Returns how many were stored.
    ///
    /// # Errors
    /// As every method.
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError>;

    /// How many messages have no conversation.
    ///
    /// # Errors
    /// As every method.
    async fn count_without_conversation(&self) -> Result<u64, StoreError>;

    /// Up to `limit` messages without a conversation, in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// As every method.
    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError>;

    /// Gives messages that have no conversation theirs, in the order of the batch; others are left alone. An id appears at
    /// most once. Whoever does it at the same time as others gives ids in their order, as [`Store::without_conversation`] does: they
    /// wait for each other, but never in a circle.
    ///
    /// # Errors
    /// As every method.
    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError>;

    /// How many entries wait, are leased or are dead, per provider, counted up to [`QUEUE_COUNTED_MAX`].
    ///
    /// # Errors
    /// As every method.
    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError>;

    /// One message with its attempts.
    ///
    /// # Errors
    /// As every method.
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError>;

    /// Messages, newest processed first. A page ends before it exceeds [`PAGE_BYTES_MAX`](domain::PAGE_BYTES_MAX).
    ///
    /// # Errors
    /// As every method.
    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError>;

    /// One conversation.
    ///
    /// # Errors
    /// As every method.
    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// Conversations, latest activity first, then highest id.
    ///
    /// # Errors
    /// As every method.
    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<Conversation, ConversationPosition>, StoreError>;

    /// The messages of a conversation, by their own timestamp, then in the order of joining; `None` when there is no
    /// such conversation. A page ends before it exceeds [`PAGE_BYTES_MAX`](domain::PAGE_BYTES_MAX).
    ///
    /// # Errors
    /// As every method.
    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError>;
}

/// The longest duration that makes a difference: beyond a thousand years, instants would leave the calendar, and one
/// provider's absurd Retry-After would fail a whole batch.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(1_000 * 31_556_952);

/// The instant `duration` after `now`.
pub(crate) fn instant_after(now: Timestamp, duration: Duration) -> Timestamp {
    now.saturating_add(duration.min(DURATION_MAX))
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It cannot be reached or did not get to it. Nothing was changed; try again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost before the answer came: it may have happened or not.
    #[error("the store may or may not have done it: {0}")]
    OutcomeUnknown(String),
    /// The database refuses this for good. Nothing was changed; trying again will not help.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl StoreError {
    /// What an error means for work that cannot have changed anything.
    pub(crate) fn of_nothing_changed(self) -> Self {
        match self {
            Self::OutcomeUnknown(reason) => Self::Unavailable(reason),
            other => other,
        }
    }
}
