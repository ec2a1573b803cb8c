use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Content, ErrorCode, MessageId, Outcome, ProviderMessageId, ProviderName};

/// One try to hand a message to a provider.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which message. The same in every try, so that a provider that deduplicates can.
    pub message_id: MessageId,
    /// Which try: 1, 2, 3 … without gaps.
    pub attempt_number: u32,
    /// What to send, from whom and to whom.
    pub content: &'a Content,
}

/// The closed vocabulary of how a call ends. Only a provider's own `classify` knows the provider's codes;
/// everybody else reads these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendResult {
    /// The provider took the message.
    Success {
        /// The provider's own id of the message, if it gave one: receipts name it.
        provider_message_id: Option<ProviderMessageId>,
    },
    /// The provider asked to slow down. It is well, and it has not taken the message.
    RateLimited {
        /// How long it asked to be left alone, when it said so.
        retry_after: Option<Duration>,
        /// Its reason.
        error_code: ErrorCode,
    },
    /// The provider failed; a later try may succeed.
    Error {
        /// What went wrong.
        error_code: ErrorCode,
    },
    /// The provider refused this message for good; no other try would end differently.
    Rejected {
        /// Its reason.
        error_code: ErrorCode,
    },
    /// No answer in time: the provider may or may not have taken the message.
    Timeout,
}

impl SendResult {
    /// The outcome under which the attempt goes on record.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Success { .. } => Outcome::Success,
            Self::RateLimited { .. } => Outcome::RateLimited,
            Self::Error { .. } | Self::Rejected { .. } => Outcome::Error,
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

/// Whoever carries messages of some channels to people.
#[async_trait]
pub trait Provider: Debug + Send + Sync {
    /// The name under which attempts, metrics and breakers know it.
    fn name(&self) -> &ProviderName;

    /// The channels it serves.
    fn channels(&self) -> &[Channel];

    /// Makes one call. The caller puts its own deadline around it and takes a missed one for
    /// [`SendResult::Timeout`]; a provider that notices a timeout itself may report it. Dropping the call must
    /// leave nothing broken behind.
    async fn send(&self, call: Call<'_>) -> SendResult;
}
