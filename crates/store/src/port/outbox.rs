//! The outbox: what is leased, what came of it, what is dead and how it comes back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Channel, Content, ConversationChannel, ConversationId, ErrorCode, FailureReason, LeaseToken, MessageId,
    Outcome, ProviderName, Timestamp,
};

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

/// How much a claim may lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Entries.
    pub entries: u32,
    /// Bytes of their contents, to within a few for each attachment. The entry that has been due longest may be larger;
    /// then it comes alone.
    pub bytes: usize,
}

/// What a claim leased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The entries, in the order of their ids.
    pub entries: Vec<Claimed>,
    /// Whether an entry that is due was left because the bytes did not suffice.
    pub cut_short: bool,
}

/// An entry just claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The entry.
    pub leased: Leased,
    /// Time left until its deadline, in whole milliseconds; zero when that has passed.
    pub deadline_in: Duration,
    /// Whether its last worker vanished and an `unknown` attempt was recorded for it just now.
    pub lease_expired: bool,
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
    pub tried: Option<AttemptRecord>,
    /// What happens next.
    pub disposition: Disposition,
    /// Its progress, this try included.
    pub progress: Progress,
}

/// A try to be recorded; its number is the progress's count of attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
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
    /// It is given up and kept as a dead letter, with the error code of its last attempt.
    DeadLetter(FailureReason),
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

/// When a provider counts as served by no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnservedRule {
    /// No node has announced it for so long, and an entry has been due for so long.
    pub after: Duration,
    /// Nodes have looked at least this often meanwhile: while all of them or the database were away, no node could announce
    /// anything, and the time starts again.
    pub gap_max: Duration,
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
    pub lease_expired: bool,
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

/// What redriven messages begin again with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveTerms {
    /// How long they may be tried.
    pub deadlines: Deadlines,
    /// The provider of each channel; a message of a channel without one keeps the provider it had.
    pub routes: BTreeMap<Channel, ProviderName>,
}

/// What a batch of redrives came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedrivenBatch {
    /// Messages that are pending again.
    pub redriven: u64,
    /// When that was, by the database's clock: what failed before, failed before this batch.
    pub at: Timestamp,
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
    /// Those that failed before this instant of the database's clock.
    pub failed_before: Option<Timestamp>,
}
