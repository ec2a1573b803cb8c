//! What is read, and by what it is chosen.

use std::time::Duration;

use domain::{Attempt, Channel, ConversationChannel, Message, Participant, ProviderName, Status, Timestamp};

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

/// How many pending entries, and how many dead ones, of a provider are counted, so that looking at the queues costs the same however
/// long they are.
pub const QUEUE_COUNTED_MAX: u64 = 10_000;

/// The queue of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Whose queue.
    pub provider: ProviderName,
    /// Pending and not leased.
    pub waiting: u64,
    /// Held by a node.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether counting stopped at [`QUEUE_COUNTED_MAX`] pending or dead entries.
    pub capped: bool,
    /// How long the oldest pending entry has been due; zero when none is.
    pub oldest: Duration,
}

impl QueueDepth {
    /// The depth of a queue whose counting was told to stop after [`QUEUE_COUNTED_MAX`] + 1.
    pub(crate) fn capped(self) -> Self {
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
