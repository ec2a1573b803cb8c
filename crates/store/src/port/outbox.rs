use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Channel, Content, ConversationChannel, ConversationId, ErrorCode, FailureReason, FollowUp, LeaseToken,
    MessageId, Outcome, ProviderMessageId, ProviderName, Timestamp,
};

use crate::StoreError;

/// Leases, settles, dead-letters and redrives outbox entries.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Leases due entries of a provider within `limits` for `lease`, those due longest first. An entry whose lease expired
    /// first gets an `unknown` attempt for the worker that held it. That attempt is not counted against the budget: there
    /// may have been no call.
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError>;

    /// Records the results of leased entries. The results are in the order of the batch; an entry appears at most once. Late
    /// outcomes of lost leases may be added in a second transaction: they change nothing else.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError>;

    /// Gives back leased entries without an attempt, as if they had never been claimed. Returns those that were held, in the
    /// order given.
    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError>;

    /// Announces that a node serves these providers, and notes which other providers have entries. Nodes do so every few
    /// seconds; `gap_max` is the one of [`UnservedRule`].
    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError>;

    /// Dead-letters up to `limit` entries that no node holds and whose deadline has passed, or whose provider is neither in
    /// `serving` nor served by another node according to `unserved`. Expired leases are recorded as in [`Outbox::claim`].
    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Makes a dead letter pending again, with a fresh route, budget and deadline. Attempt numbers continue.
    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError>;

    /// Redrives up to `limit` dead letters, in the order in which they were accepted.
    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError>;

    /// Cancels a message if it is certain that no provider has taken it or is taking it: its entry waits without a lease, and
    /// no attempt ever ended `timeout` or `unknown`. The entry is deleted, so that no later claim finds it.
    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError>;

    /// How many entries wait, are leased or are dead, per provider, counted up to [`QUEUE_COUNTED_MAX`].
    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError>;
}

/// An outbox entry leased to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub content: Arc<Content>,
    pub token: LeaseToken,
    pub progress: Progress,
}

/// How much a claim may lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    pub entries: u32,
    /// Bytes of content, to within a few for each attachment. The entry due longest may exceed it; then it comes alone.
    pub bytes: usize,
}

/// The result of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// In the order of their ids.
    pub entries: Vec<Claimed>,
    /// Whether a due entry was left because of the limit in bytes.
    pub cut_short: bool,
}

/// A claimed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub leased: Leased,
    /// Time left until the deadline, in whole milliseconds; zero once it has passed.
    pub deadline_in: Duration,
    /// Whether the claim recorded an `unknown` attempt for an expired lease.
    pub lease_expired: bool,
}

/// The state of an entry's attempts. All but `attempts` and `lost` starts again with a redrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All attempts ever; the next one has this number plus one.
    pub attempts: u32,
    /// Those of them that ended `unknown` because a lease expired. The store keeps it; what a settlement says here is ignored.
    pub lost: u32,
    /// Attempts that count against the budget.
    pub counted: u32,
    /// The latest attempts that ended `rate_limited`, without another one between.
    pub rate_limited_in_a_row: u32,
    /// Attempts that panicked the worker.
    pub panics: u32,
    /// Attempts at the current provider that it certainly did not take.
    pub not_taken: u32,
    /// Whether an attempt ended `timeout` or `unknown`. The store keeps it; what a settlement says here is ignored.
    pub unsure: bool,
}

impl Progress {
    /// Attempts whose result is known. A call that a crash cut off is none.
    #[must_use]
    pub const fn completed(&self) -> u32 {
        self.attempts.saturating_sub(self.lost)
    }
}

/// The result of a leased entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub id: MessageId,
    /// The lease under which the attempt was made.
    pub token: LeaseToken,
    /// `None` when the entry ends without an attempt.
    pub tried: Option<AttemptRecord>,
    pub disposition: Disposition,
    /// This attempt included.
    pub progress: Progress,
    /// What happens after the provider took the message, stored with the settlement. They belong to the attempt of the number
    /// [`Progress::attempts`].
    pub follow_ups: Vec<FollowUp>,
}

/// An attempt to be recorded; its number is [`Progress::attempts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    pub outcome: Outcome,
    pub error_code: Option<ErrorCode>,
    /// When the call began, by the node's clock.
    pub occurred_at: Timestamp,
    /// Kept in whole milliseconds.
    pub latency: Duration,
    /// The id that the provider gave the message.
    pub provider_message_id: Option<ProviderMessageId>,
}

/// What happens to an entry next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The provider has the message: the entry is deleted.
    Finish,
    /// The entry is due again after this time, by the database's clock.
    Retry { after: Duration },
    /// The entry moves to another provider and is due at once; budget and deadline stay. It is refused unless every attempt
    /// since the accept or the last redrive was certainly not taken, this one included.
    Reroute { provider: ProviderName },
    /// The entry becomes a dead letter, with the error code of its last attempt.
    DeadLetter(FailureReason),
}

/// Whether a settlement took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It did, now or in an earlier call whose answer was lost.
    Applied,
    /// Another worker claimed the entry and recorded this attempt as `unknown`. The outcome was added to that record;
    /// nothing else changed.
    LeaseLost,
    /// A provider has or may have the message, so it was not rerouted. Nothing changed and the lease is still held: settle
    /// with another disposition.
    RerouteRefused,
}

/// When a provider counts as served by no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnservedRule {
    /// No node has announced the provider for this long, and an entry has been due for this long.
    pub after: Duration,
    /// The longest time between two announcements of any node. After a longer one no node or no database ran, and `after`
    /// starts again.
    pub gap_max: Duration,
}

/// An entry that a sweep dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: MessageId,
    pub provider: ProviderName,
    pub channel: Channel,
    pub reason: FailureReason,
    /// Whether the sweep recorded an `unknown` attempt for an expired lease.
    pub lease_expired: bool,
}

/// How long redriven messages may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// SMS and MMS.
    pub sms: Duration,
    pub email: Duration,
}

impl Deadlines {
    #[must_use]
    pub fn of(&self, channel: Channel) -> Duration {
        match channel.conversation() {
            ConversationChannel::Sms => self.sms,
            ConversationChannel::Email => self.email,
        }
    }
}

/// The fresh deadline and route of redriven messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveTerms {
    pub deadlines: Deadlines,
    /// The provider of each channel. A message of another channel keeps its provider.
    pub routes: BTreeMap<Channel, ProviderName>,
    /// A message of one of these providers keeps it, whatever its channel.
    pub kept: Vec<ProviderName>,
}

/// The result of [`Outbox::redrive_matching`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedrivenBatch {
    /// Messages that are pending again.
    pub redriven: u64,
    /// The database's clock. Dead letters from before this time had failed before this batch.
    pub at: Timestamp,
}

/// The result of [`Outbox::redrive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// The message is pending again.
    Pending,
    /// The message is not a dead letter.
    NotFailed,
    /// There is no such message.
    NotFound,
}

/// The result of [`Outbox::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// The message is canceled, now or by an earlier call.
    Canceled {
        /// Whether this call did it.
        now: bool,
    },
    /// A provider has, or may have, the message, or it is final, or inbound.
    NotCancelable,
    /// There is no such message.
    NotFound,
}

/// Which dead letters to redrive; `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveFilter {
    pub provider: Option<ProviderName>,
    pub channel: Option<Channel>,
    pub reason: Option<FailureReason>,
    /// By the database's clock.
    pub failed_before: Option<Timestamp>,
}

/// The most pending and the most dead entries of a provider that are counted, so that counting a long queue costs no more.
pub const QUEUE_COUNTED_MAX: u64 = 10_000;

/// The queue of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    pub provider: ProviderName,
    /// Pending and not leased.
    pub waiting: u64,
    pub leased: u64,
    pub dead: u64,
    /// Whether counting stopped at [`QUEUE_COUNTED_MAX`] pending or dead entries.
    pub capped: bool,
    /// How long the oldest pending entry has been due; zero when none is.
    pub oldest: Duration,
}

impl QueueDepth {
    /// The depth of a queue that was counted up to [`QUEUE_COUNTED_MAX`] + 1.
    #[must_use]
    pub fn capped(self) -> Self {
        let capped = self.waiting + self.leased > QUEUE_COUNTED_MAX || self.dead > QUEUE_COUNTED_MAX;
        let at_most = |count: u64| count.min(QUEUE_COUNTED_MAX);
        Self {
            waiting: at_most(self.waiting),
            leased: at_most(self.leased),
            dead: at_most(self.dead),
            capped,
            ..self
        }
    }
}
