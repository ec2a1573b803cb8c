//! What must hold, and who watches. Some rules are checked at the moment they could be broken, the others when the run is
//! over, against all that the database holds. Each group of rules has its own file; `observer.rs` takes note of
//! what happens, and this one has the words for it.

mod acknowledged;
mod attempts;
mod breaker;
mod calls;
mod conversations;
mod counters;
mod fencing;
mod keys;
mod limits;
mod observer;
mod progress;
mod reads;
mod references;
mod snapshot;

use std::{fmt, time::Duration};

use domain::{ConversationChannel, ConversationId, MessageId, Timestamp};
use providers::SendResult;
use store::IdempotentRequest;
use store_model::OutboxRow;

pub(crate) use breaker::Real;
pub(crate) use fencing::Before;
pub(crate) use observer::Observer;
pub(crate) use progress::Due;

/// Something that must hold and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, with its number in the list of invariants where it has one.
    pub rule: &'static str,
    /// When it was noticed.
    pub at: Duration,
    /// What was seen.
    pub detail: String,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    New(Ack),
    Replayed(Ack),
    Conflict,
    Limited {
        retry_after: Duration,
    },
    /// A clear no: nobody serves the channel there.
    NoProvider,
    /// A clear no that may be a yes next time.
    NotStored(&'static str),
    /// A clear no for good.
    Refused,
    /// Nobody knows.
    Unknown,
    /// No answer at all.
    Nothing,
}

/// What makes a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
}

/// Whose allowance a request uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    None,
    Client(u8),
    Sender(ConversationChannel, usize),
}

/// A request as the node took it up.
struct Request {
    life: u32,
    operation: usize,
    began: Duration,
    cell: Cell,
    key: Option<IdempotentRequest>,
    reply: Response,
}

/// A call as the provider's side sees it.
struct CallRecord {
    life: u32,
    provider: usize,
    message: MessageId,
    attempt: u32,
    began: Duration,
    taken: bool,
    ended: Option<(Duration, CallEnd)>,
    /// When the lease it was made under runs out.
    leased_until: Duration,
    breaker_epoch: u64,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Answered(SendResult),
    TimedOut,
    Panicked,
    /// The node is gone.
    Abandoned,
}

/// A call about to begin, and what was known at that moment.
pub(crate) struct Beginning<'a> {
    pub(crate) life: u32,
    pub(crate) provider: usize,
    pub(crate) message: MessageId,
    pub(crate) attempt: u32,
    pub(crate) row: Option<&'a OutboxRow>,
    pub(crate) now: Timestamp,
    pub(crate) breaker: Real,
}

impl Response {
    fn word(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Replayed(_) => "replayed",
            Self::Conflict => "conflict",
            Self::Limited { .. } => "limited",
            Self::NoProvider => "no provider",
            Self::NotStored(why) => why,
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Nothing => "nothing",
        }
    }
}

impl CallEnd {
    fn word(&self) -> &'static str {
        match self {
            Self::Answered(SendResult::Success { .. }) => "success",
            Self::Answered(SendResult::RateLimited { .. }) => "rate limited",
            Self::Answered(SendResult::Error { .. }) => "error",
            Self::Answered(SendResult::Rejected { .. }) => "rejected",
            Self::Answered(SendResult::Timeout) | Self::TimedOut => "timeout",
            Self::Panicked => "panic",
            Self::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{}] at {:.3} s: {}",
            self.rule,
            self.at.as_secs_f64(),
            self.detail
        )
    }
}
