//! The rules, and the code that checks them. Some rules are checked when they could be broken, the others at the end of the run
//! against the whole database. Each group of rules has its own file; `observer` records what happens. Their numbers are those of
//! docs/simulation.md.

mod acknowledged;
mod attempts;
mod breaker;
mod calls;
mod conversations;
mod counters;
mod deliveries;
mod events;
mod fencing;
mod keys;
mod limits;
mod observer;
mod progress;
mod reads;
mod references;
mod snapshot;

use std::{fmt, time::Duration};

use domain::{ConversationChannel, ConversationId, MessageId, ProviderMessageId, Timestamp};
use providers::SendResult;
use store::IdempotentRequest;
use store_model::OutboxRow;

pub(crate) use breaker::Real;
pub(crate) use fencing::Before;
pub(crate) use observer::Observer;
pub(crate) use progress::Due;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// With its number in docs/simulation.md, if it has one.
    pub rule: &'static str,
    pub at: Duration,
    pub detail: String,
}

/// The answer a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    New(Ack),
    Replayed(Ack),
    Conflict,
    Limited {
        retry_after: Duration,
    },
    /// Certainly refused: no provider serves the channel on that node.
    NoProvider,
    /// Certainly refused, but may succeed later.
    NotStored(&'static str),
    /// Refused for good.
    Refused,
    /// The outcome is unknown.
    Unknown,
    /// There was no answer.
    Nothing,
}

/// An acknowledgement: from here on the message must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
}

/// The limit a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    None,
    Client(u8),
    Sender(ConversationChannel, usize),
}

/// A request as the node saw it.
struct Request {
    life: u32,
    operation: usize,
    began: Duration,
    cell: Cell,
    key: Option<IdempotentRequest>,
    reply: Response,
}

/// A call as the provider saw it.
struct CallRecord {
    life: u32,
    provider: usize,
    message: MessageId,
    attempt: u32,
    began: Duration,
    taken: bool,
    ended: Option<(Duration, CallEnd)>,
    /// When its lease expires.
    leased_until: Duration,
    breaker_epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Answered(SendResult),
    TimedOut,
    Panicked,
    /// The node died.
    Abandoned,
}

/// A call whose message a provider took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) provider: usize,
    pub(crate) message: MessageId,
    pub(crate) attempt: u32,
}

impl Taken {
    fn of(call: &CallRecord) -> Self {
        Self {
            provider: call.provider,
            message: call.message,
            attempt: call.attempt,
        }
    }

    /// The id that the provider gives the message, as the product's simulators make theirs.
    pub(crate) fn provider_message_id(self) -> ProviderMessageId {
        let id = format!("sim-{}-{}", self.message, self.attempt);
        id.parse().expect("short and without control characters")
    }
}

/// A call about to begin.
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
