use std::time::Duration;

use async_trait::async_trait;
use domain::{FollowUpAction, MessageId, ProviderMessageId, ProviderName, Timestamp};

use crate::StoreError;

/// What happens outside after messages were taken: settlements store it, and a node performs it when it is due.
#[async_trait]
pub trait FollowUps: Send + Sync {
    /// Takes up to `limit` follow-ups that are due, earliest first. No other call gets them for `lease`; after that they are due
    /// again, because their node may be gone. So a follow-up may be performed twice.
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError>;

    /// Deletes follow-ups that are done. Unknown ones are ignored.
    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError>;
}

/// The result of [`FollowUps::take_follow_ups`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenFollowUps {
    /// In the order of their due times; those of one attempt that are due together, in the order of their settlement.
    pub due: Vec<DueFollowUp>,
    /// How long until the earliest of those that cannot be taken yet can be, in whole milliseconds; `None` without any.
    pub next_in: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FollowUpKey {
    pub message_id: MessageId,
    /// The number of the attempt that took the message.
    pub attempt: u32,
    /// The place among those of the attempt, from 0.
    pub place: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueFollowUp {
    pub key: FollowUpKey,
    /// That took the message.
    pub provider: ProviderName,
    /// Its id of the message, if it gave one.
    pub provider_message_id: Option<ProviderMessageId>,
    /// By the database's clock.
    pub due_at: Timestamp,
    pub action: FollowUpAction,
}
