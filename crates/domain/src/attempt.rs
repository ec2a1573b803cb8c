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
        /// The provider refused or failed.
        Error = "error",
        /// No answer in time: the provider may have taken the message.
        Timeout = "timeout",
        /// The worker vanished: the provider may have taken the message.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// Whether the provider may have taken the message without saying so.
    #[must_use]
    pub const fn is_unsure(self) -> bool {
        matches!(self, Self::Timeout | Self::Unknown)
    }
}

vocabulary! {
    /// The rule by which a message became a dead letter.
    pub enum FailureReason {
        /// As many counted attempts as allowed, none of them successful.
        Exhausted = "exhausted",
        /// Its time was up.
        Deadline = "deadline",
        /// The provider rejected it for good.
        Rejected = "rejected",
        /// Sending it panicked the worker again and again.
        Poison = "poison",
        /// Nobody serves its channel any more.
        NoProvider = "no_provider",
    }
}

/// One try to hand a message to its provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// 1, 2, 3 … without gaps, going on after a redrive.
    pub number: u32,
    /// Who was asked.
    pub provider: ProviderName,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, if something did.
    pub error_code: Option<ErrorCode>,
    /// When the call began; of a worker whose lease expired, when that was noticed.
    pub occurred_at: Timestamp,
    /// How long the call took; zero when nobody knows.
    pub latency: Duration,
    /// What a worker reported after its lease was lost and the attempt was recorded as unknown.
    pub late_outcome: Option<Outcome>,
    /// The id that the provider gave the message.
    pub provider_message_id: Option<ProviderMessageId>,
}

/// A stable word for what went wrong: lower-case letters, digits and `_`, at most 64 of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ErrorCode(Cow<'static, str>);

impl ErrorCode {
    /// The longest code, in characters.
    pub const CHARS_MAX: usize = 64;

    /// A code known when this was written.
    #[must_use]
    pub const fn of(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// A code a provider made up: what does not belong into one becomes `_`, and it is cut to the longest.
    #[must_use]
    pub fn from_provider(text: &str) -> Self {
        let word = |character: char| match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => plain,
            _ => '_',
        };
        Self(Cow::Owned(text.chars().take(Self::CHARS_MAX).map(word).collect()))
    }

    /// The word.
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
    fn provider_codes_become_bounded_words() {
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
