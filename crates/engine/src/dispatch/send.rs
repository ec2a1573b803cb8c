use std::{panic::AssertUnwindSafe, time::Duration};

use domain::{ErrorCode, Outcome};
use futures_util::FutureExt;
use providers::{Call, Provider, SendResult};
use resilience::breaker::Verdict;

/// How a call ended, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// The provider answered, or did not in time.
    Answered(SendResult),
    /// Sending this message panicked.
    Panicked,
}

/// Calls a provider, for at most `timeout`. A panic in there ends this call and nothing else.
pub(super) async fn call(provider: &dyn Provider, call: Call<'_>, timeout: Duration) -> CallEnd {
    // What a panic leaves behind inside the provider is the provider's; we only look at the answer.
    let guarded = AssertUnwindSafe(provider.send(call)).catch_unwind();
    match tokio::time::timeout(timeout, guarded).await {
        Ok(Ok(answer)) => CallEnd::Answered(answer),
        Ok(Err(_)) => CallEnd::Panicked,
        Err(_) => CallEnd::Answered(SendResult::Timeout),
    }
}

impl CallEnd {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Answered(SendResult::Success) => Outcome::Success,
            Self::Answered(SendResult::RateLimited { .. }) => Outcome::RateLimited,
            Self::Answered(SendResult::Timeout) => Outcome::Timeout,
            Self::Answered(SendResult::Error { .. } | SendResult::Rejected { .. }) | Self::Panicked => {
                Outcome::Error
            }
        }
    }

    pub(super) fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Answered(SendResult::Success) => None,
            Self::Answered(SendResult::Timeout) => Some(ErrorCode::of("timeout")),
            Self::Answered(
                SendResult::RateLimited { error_code, .. }
                | SendResult::Error { error_code }
                | SendResult::Rejected { error_code },
            ) => Some(error_code.clone()),
            Self::Panicked => Some(ErrorCode::of("worker_panic")),
        }
    }

    /// What it says about the provider; a panic says nothing.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Answered(SendResult::Success) => Some(Verdict::Success),
            Self::Answered(SendResult::RateLimited { .. } | SendResult::Rejected { .. }) => {
                Some(Verdict::Answered)
            }
            Self::Answered(SendResult::Error { .. } | SendResult::Timeout) => Some(Verdict::Failure),
            Self::Panicked => None,
        }
    }
}
