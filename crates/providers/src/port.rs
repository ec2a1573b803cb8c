use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Content, ErrorCode, FollowUp, MessageId, Outcome, ProviderMessageId, ProviderName};

/// One attempt to hand a message to a provider.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The same in each attempt: a provider can deduplicate by it.
    pub message_id: MessageId,
    /// 1, 2, 3 … without gaps.
    pub attempt_number: u32,
    /// Earlier attempts whose result is known: calls that a crash cut off do not count. Scripts follow it.
    pub completed_attempts: u32,
    pub content: &'a Content,
}

/// How a call ended. Only the `classify` of a kind of providers knows their codes; all other code uses these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendResult {
    /// Taken.
    Success {
        /// The provider's id of the message, if it gave one: receipts name it.
        provider_message_id: Option<ProviderMessageId>,
    },
    /// Certainly not taken: the provider is well and asks to slow down.
    RateLimited {
        /// How long to wait, if the provider said so.
        retry_after: Option<Duration>,
        error_code: ErrorCode,
    },
    /// Certainly not taken: the provider failed, and a later attempt may succeed.
    Error { error_code: ErrorCode },
    /// Refused for good: no later attempt would end differently.
    Rejected { error_code: ErrorCode },
    /// Perhaps taken: there was no response in time.
    Timeout,
}

impl SendResult {
    /// The outcome under which the attempt goes on record.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Success { .. } => Outcome::Success,
            Self::RateLimited { .. } => Outcome::RateLimited,
            Self::Error { .. } => Outcome::Error,
            Self::Rejected { .. } => Outcome::Rejected,
            Self::Timeout => Outcome::Timeout,
        }
    }

    /// What went wrong; `None` after a success.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Success { .. } => None,
            Self::RateLimited { error_code, .. }
            | Self::Error { error_code }
            | Self::Rejected { error_code } => Some(error_code.clone()),
            Self::Timeout => Some(ErrorCode::of("timeout")),
        }
    }
}

/// A configured instance that carries messages of some channels.
#[async_trait]
pub trait Provider: Debug + Send + Sync {
    /// Attempts, metrics and breakers carry it.
    fn name(&self) -> &ProviderName;

    fn channels(&self) -> &[Channel];

    /// Makes one call. The caller sets a deadline, records a missed one as [`SendResult::Timeout`], and drops the
    /// call: that must leave nothing broken.
    async fn send(&self, call: Call<'_>) -> SendResult;

    /// What happens outside after a call that took the message, also if it got no answer. Only scripts know; real providers send
    /// receipts by themselves.
    fn follow_ups(&self, call: &Call<'_>) -> Vec<FollowUp> {
        let _ = call;
        Vec::new()
    }
}
