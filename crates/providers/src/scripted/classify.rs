use domain::{ErrorCode, Outcome, Step};

use crate::{Call, SendResult};

/// How a call ends; `None` when there is no response.
pub(super) fn classify(step: Step, call: &Call<'_>) -> Option<SendResult> {
    match step {
        Step::Take => Some(SendResult::Success {
            provider_message_id: format!("scripted-{}-{}", call.message_id, call.attempt_number)
                .parse()
                .ok(),
        }),
        Step::Reject => Some(SendResult::Rejected {
            error_code: ErrorCode::of("provider_rejected"),
        }),
        Step::Fail => Some(SendResult::Error {
            error_code: ErrorCode::of("provider_error"),
        }),
        Step::PushBack { retry_after } => Some(SendResult::RateLimited {
            retry_after: Some(retry_after),
            error_code: ErrorCode::of("provider_rate_limited"),
        }),
        Step::Hang | Step::HangTaken => None,
    }
}

/// Under which outcome the call goes into the ledger.
pub(super) fn outcome(result: Option<&SendResult>) -> Outcome {
    result.map_or(Outcome::Timeout, SendResult::outcome)
}
