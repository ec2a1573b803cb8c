use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Attempt, Channel, Content, Conversation, ConversationChannel, ConversationId, ConversationKey,
    ConversationPosition, Direction, ErrorCode, Failure, FailureReason, Fingerprint, GivenAddress,
    IdempotencyKey, LeaseToken, Message, MessageId, Outcome, Page, PageRequest, Participant,
    ProviderMessageId, ProviderName, Status, ThreadPosition, Timestamp,
};
use thiserror::Error;

/// Durable storage. Every method is one transaction: it happens whole or not at all. Durations are cut to a thousand
/// years.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Brings the schema up to date and returns the names of the migrations that this took.
    ///
    /// # Errors
    /// As every method; also when the schema is newer than this program.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Accepts messages: keys, conversations, messages and outbox entries, all of the batch or none. The answers are
    /// in the order of the batch. Only [`GroupCommit`](crate::GroupCommit) calls this.
    ///
    /// # Errors
    /// [`StoreError::Refused`] concerns one of the batch for good: bisect. After [`StoreError::OutcomeUnknown`], ask
    /// [`Store::find_accepted`].
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError>;

    /// What became of messages whose commit went unanswered: `None` where nothing is (yet) to be found.
    ///
    /// # Errors
    /// As every method.
    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError>;

    /// What an earlier request with this key was answered: [`Accepted::Repeated`] or [`Accepted::KeyConflict`].
    ///
    /// # Errors
    /// As every method.
    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError>;

    /// Leases up to `limit` due entries of a provider, those due longest first, for `lease`. The try of a worker whose
    /// lease ran out is recorded as `unknown` before its entry is handed out again.
    ///
    /// # Errors
    /// As every method.
    async fn claim(
        &self,
        provider: &ProviderName,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Records what came of leased entries. The answers are in the order of the batch; an entry appears at most once. The
    /// evidence of lost leases may be added in a second transaction: it changes nothing else.
    ///
    /// # Errors
    /// As every method.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError>;

    /// Gives back leased entries nobody tried to send, as if they had never been claimed; returns how many were held.
    ///
    /// # Errors
    /// As every method.
    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<u64, StoreError>;

    /// Buries up to `limit` entries that nobody holds and whose deadline has passed or whose provider is not among
    /// `serving`. The try of a worker whose lease ran out is recorded as `unknown` before: nobody claims for a provider
    /// that is gone.
    ///
    /// # Errors
    /// As every method.
    async fn sweep(&self, serving: &[ProviderName], limit: u32) -> Result<Vec<DeadLetter>, StoreError>;

    /// Makes a dead letter pending again, with a fresh budget and deadline; its attempts go on counting.
    ///
    /// # Errors
    /// As every method.
    async fn redrive(&self, id: MessageId, deadlines: Deadlines) -> Result<Redriven, StoreError>;

    /// Redrives up to `limit` dead letters, those that were accepted first before others, and returns how many.
    ///
    /// # Errors
    /// As every method.
    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        deadlines: Deadlines,
        limit: u32,
    ) -> Result<u64, StoreError>;

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
    async fn count_unthreaded(&self) -> Result<u64, StoreError>;

    /// Up to `limit` messages without a conversation, in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// As every method.
    async fn unthreaded(&self, after: Option<MessageId>, limit: u32) -> Result<Vec<Unthreaded>, StoreError>;

    /// Gives messages that have no conversation theirs, in the order of the batch; others are left alone. An id appears at
    /// most once. Whoever does it at the same time as others gives ids in their order, as [`Store::unthreaded`] does: they
    /// wait for each other, but never in a circle.
    ///
    /// # Errors
    /// As every method.
    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError>;

    /// How many entries wait, are leased or are dead, per provider.
    ///
    /// # Errors
    /// As every method.
    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError>;

    /// One message with its attempts.
    ///
    /// # Errors
    /// As every method.
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError>;

    /// Messages, newest processed first.
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
    /// such conversation.
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

/// A message to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Its id, minted before it is stored, so that it can be looked up when a commit goes unanswered.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationKey,
    /// What it says.
    pub content: Arc<Content>,
    /// When it was written.
    pub timestamp: Timestamp,
    /// When it was accepted, by the node's clock.
    pub processed_at: Timestamp,
    /// Who will serve it, or brought it.
    pub provider: ProviderName,
    /// Which way it goes, and by what repeats are recognized.
    pub arrival: Arrival,
}

/// Which way an accepted message goes, and by what repeats are recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Outbound: gets an outbox entry.
    Send {
        /// The client's key, if it gave one.
        request: Option<IdempotentRequest>,
        /// How long it may be tried.
        deadline: Duration,
        /// Lease the new entry to the accepting node for this long, with the token [`FIRST_LEASE`].
        lease: Option<Duration>,
    },
    /// Inbound.
    Receive {
        /// The provider's id, by which repeats are recognized.
        provider_message_id: ProviderMessageId,
        /// The request as it came.
        payload: Box<str>,
    },
}

/// A request that can be recognized when it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request said.
    pub fingerprint: Fingerprint,
}

/// The token of an entry that was leased while it was accepted.
pub const FIRST_LEASE: LeaseToken = LeaseToken(1);

/// What became of a message that was to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    New {
        /// Its conversation.
        conversation_id: ConversationId,
        /// Its place in it; 1 means that the conversation is new.
        sequence: u64,
    },
    /// An earlier request with this key or provider message id was; nothing changed.
    Repeated {
        /// The message of the earlier request.
        id: MessageId,
        /// Its conversation; an imported message may have none yet.
        conversation_id: Option<ConversationId>,
    },
    /// An earlier request had this key and said something else; nothing changed.
    KeyConflict,
}

/// An outbox entry leased to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The message.
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// What to send.
    pub content: Arc<Content>,
    /// What proves that we hold it.
    pub token: LeaseToken,
    /// What happened to it so far.
    pub progress: Progress,
}

/// An entry just claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The entry.
    pub leased: Leased,
    /// Time left until its deadline, in whole milliseconds; zero when that has passed.
    pub deadline_in: Duration,
    /// Whether its last worker vanished and an `unknown` attempt was recorded for it just now.
    pub vanished: bool,
}

/// What happened to an outbox entry since it was accepted or redriven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All attempts ever, also those before a redrive; the next one has this number plus one.
    pub attempts: u32,
    /// Attempts that count against the budget.
    pub counted: u32,
    /// How often in a row the provider asked to slow down.
    pub rate_limited_in_a_row: u32,
    /// How often sending it panicked the worker.
    pub panics: u32,
}

/// What came of a leased entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The message.
    pub id: MessageId,
    /// The lease under which it was tried.
    pub token: LeaseToken,
    /// The try, unless the entry was ended without one.
    pub tried: Option<Tried>,
    /// What happens next.
    pub disposition: Disposition,
    /// Its progress, this try included.
    pub progress: Progress,
}

/// A try to be recorded; its number is the progress's count of attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong.
    pub error_code: Option<ErrorCode>,
    /// When the call began, by the node's clock.
    pub occurred_at: Timestamp,
    /// How long it took; kept in whole milliseconds.
    pub latency: Duration,
}

/// What happens to an entry next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The provider has it.
    Finish,
    /// It is due again after this time.
    Retry {
        /// From now, by the database's clock.
        after: Duration,
    },
    /// It is given up and kept as a dead letter.
    DeadLetter(Failure),
}

/// Whether a settlement took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It did, now or when it was asked for before and the answer was lost.
    Applied,
    /// The entry has gone to someone else, who recorded our try as `unknown`; our evidence was added to that record,
    /// and nothing else changed.
    LeaseLost,
}

/// An entry that a sweep buried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub id: MessageId,
    /// Whose queue it was in.
    pub provider: ProviderName,
    /// How it was to travel.
    pub channel: Channel,
    /// The rule.
    pub reason: FailureReason,
    /// Whether its last worker vanished and an `unknown` attempt was recorded for it just now.
    pub vanished: bool,
}

/// A past message, brought in from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: MessageId,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// When it was written.
    pub timestamp: Timestamp,
    /// When it was imported.
    pub processed_at: Timestamp,
    /// Who sent or brought it.
    pub provider: ProviderName,
    /// The provider's id, by which repeats are recognized.
    pub provider_message_id: ProviderMessageId,
    /// The record as it came.
    pub payload: Box<str>,
}

/// A message without a conversation, and what tells where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unthreaded {
    /// The message.
    pub id: MessageId,
    /// How it travelled.
    pub channel: Channel,
    /// From whom, as given.
    pub from: GivenAddress,
    /// To whom, as given.
    pub to: GivenAddress,
}

/// What an assignment came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Messages that have a conversation now.
    pub messages: u64,
    /// Conversations that are new.
    pub conversations: u64,
}

/// How long redriven messages may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// SMS and MMS.
    pub sms: Duration,
    /// Email.
    pub email: Duration,
}

impl Deadlines {
    /// The one for a channel.
    #[must_use]
    pub fn of(&self, channel: Channel) -> Duration {
        match channel.conversation() {
            ConversationChannel::Sms => self.sms,
            ConversationChannel::Email => self.email,
        }
    }
}

/// What became of a redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// The message is pending again.
    Pending,
    /// It is not a dead letter.
    NotFailed,
    /// There is no such message.
    NotFound,
}

/// Which dead letters to redrive; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveFilter {
    /// Those of this provider.
    pub provider: Option<ProviderName>,
    /// Those of this channel.
    pub channel: Option<Channel>,
    /// Those that failed by this rule.
    pub reason: Option<FailureReason>,
    /// Those that failed before this instant.
    pub failed_before: Option<Timestamp>,
}

/// Which messages to list; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Those that stand here.
    pub status: Option<Status>,
    /// Those of this channel.
    pub channel: Option<Channel>,
    /// Those of this provider.
    pub provider: Option<ProviderName>,
}

/// Which conversations to list; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// Those of this channel.
    pub channel: Option<ConversationChannel>,
    /// Those in which this participant takes part.
    pub participant: Option<Participant>,
}

/// A message, its attempts, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDetail {
    /// The message.
    pub message: Message,
    /// Every try, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its outbox entry, while it is pending.
    pub waiting: Option<Waiting>,
}

/// What a pending message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// When it is due.
    pub due_at: Timestamp,
    /// Whether it is due by now, by the database's clock.
    pub due: bool,
    /// Whether a node holds it.
    pub leased: bool,
}

/// The queue of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Whose queue.
    pub provider: ProviderName,
    /// Pending and held by nobody.
    pub waiting: u64,
    /// Held by a node.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the oldest pending entry has been due; zero when none is.
    pub oldest: Duration,
}
