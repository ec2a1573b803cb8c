use std::{panic::AssertUnwindSafe, time::Duration};

use domain::{ErrorCode, Outcome};
use futures_util::FutureExt;
use providers::{Answer, Call, Provider};
use resilience::breaker::Verdict;

/// How a call ended, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The provider answered, or did not in time.
    Answered(Answer),
    /// Sending this message panicked.
    Panicked,
}

/// Calls a provider, for at most `timeout`. A panic in there ends this call and nothing else.
pub(super) async fn call(provider: &dyn Provider, call: Call<'_>, timeout: Duration) -> Reply {
    // What a panic leaves behind inside the provider is the provider's; we only look at the answer.
    let guarded = AssertUnwindSafe(provider.send(call)).catch_unwind();
    match tokio::time::timeout(timeout, guarded).await {
        Ok(Ok(answer)) => Reply::Answered(answer),
        Ok(Err(_)) => Reply::Panicked,
        Err(_) => Reply::Answered(Answer::Timeout),
    }
}

impl Reply {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Answered(Answer::Success) => Outcome::Success,
            Self::Answered(Answer::RateLimited { .. }) => Outcome::RateLimited,
            Self::Answered(Answer::Timeout) => Outcome::Timeout,
            Self::Answered(Answer::Error { .. } | Answer::Rejected { .. }) | Self::Panicked => Outcome::Error,
        }
    }

    pub(super) fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Answered(Answer::Success) => None,
            Self::Answered(Answer::Timeout) => Some(ErrorCode::of("timeout")),
            Self::Answered(
                Answer::RateLimited { error_code, .. }
                | Answer::Error { error_code }
                | Answer::Rejected { error_code },
            ) => Some(error_code.clone()),
            Self::Panicked => Some(ErrorCode::of("worker_panic")),
        }
    }

    /// What it says about the provider; a panic says nothing.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Answered(Answer::Success) => Some(Verdict::Success),
            Self::Answered(Answer::RateLimited { .. } | Answer::Rejected { .. }) => Some(Verdict::Answered),
            Self::Answered(Answer::Error { .. } | Answer::Timeout) => Some(Verdict::Failure),
            Self::Panicked => None,
        }
    }
}
