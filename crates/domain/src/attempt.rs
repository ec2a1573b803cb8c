use std::{borrow::Cow, fmt, time::Duration};

use serde::Serialize;

use crate::{ProviderMessageId, ProviderName, Timestamp, vocabulary::vocabulary};

vocabulary! {
    /// How a dispatch attempt ended.
    pub enum Outcome {
        /// The provider took the message.
        Success = "success",
        /// The provider asked to slow down (429).
        RateLimited = "rate_limited",
        /// The provider failed: a later attempt may succeed.
        Error = "error",
        /// The provider refused the message for good.
        Rejected = "rejected",
        /// No answer in time: the provider may have taken the message.
        Timeout = "timeout",
        /// The lease expired without a result: the provider may have taken the message.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// Whether the provider may have taken the message.
    #[must_use]
    pub const fn is_unsure(self) -> bool {
        matches!(self, Self::Timeout | Self::Unknown)
    }
}

vocabulary! {
    /// The rule by which a message became a dead letter.
    pub enum FailureReason {
        /// The greatest number of counted attempts is reached.
        Exhausted = "exhausted",
        /// The deadline passed.
        Deadline = "deadline",
        /// The provider refuses the message for good.
        Rejected = "rejected",
        /// The worker panicked repeatedly while it sent the message.
        Poison = "poison",
        /// No node has the provider of the message any more.
        NoProvider = "no_provider",
    }
}

/// A dispatch attempt on record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// 1, 2, 3 … without gaps, also across redrives.
    pub number: u32,
    pub provider: ProviderName,
    pub outcome: Outcome,
    pub error_code: Option<ErrorCode>,
    /// When the call began. After an expired lease: when the expiry was noticed.
    pub occurred_at: Timestamp,
    /// How long the call took; zero if unknown.
    pub latency: Duration,
    /// The outcome that the worker reported after its lease was lost and the attempt was recorded as `unknown`.
    pub late_outcome: Option<Outcome>,
    pub provider_message_id: Option<ProviderMessageId>,
}

/// A stable word for an error: up to 64 lower-case letters, digits and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ErrorCode(Cow<'static, str>);

impl ErrorCode {
    pub const CHARS_MAX: usize = 64;

    #[must_use]
    pub const fn of(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// A code from a provider: other characters become `_`, and the rest beyond [`Self::CHARS_MAX`] is cut off.
    #[must_use]
    pub fn from_provider(text: &str) -> Self {
        let word = |character: char| match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => plain,
            _ => '_',
        };
        Self(Cow::Owned(text.chars().take(Self::CHARS_MAX).map(word).collect()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_providers_become_words_of_bounded_length() {
        assert_eq!(
            ErrorCode::from_provider("Invalid 'To' Number").as_str(),
            "invalid__to__number"
        );
        assert_eq!(
            ErrorCode::from_provider(&"x".repeat(100)).as_str().len(),
            ErrorCode::CHARS_MAX
        );
    }
}
