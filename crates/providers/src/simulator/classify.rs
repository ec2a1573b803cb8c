//! What a simulator responds, and what that means.

use std::time::Duration;

use domain::{ErrorCode, ProviderMessageId};

use super::behaviour::Behaviour;
use crate::{Call, SendResult};

/// A response, as an HTTP API would give it.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    status: u16,
    retry_after: Option<Duration>,
    message_id: Option<ProviderMessageId>,
}

impl Response {
    /// `None` when there is no response.
    pub(super) fn of(behaviour: Behaviour, retry_after: Duration, call: &Call<'_>) -> Option<Self> {
        let (status, retry_after, message_id) = match behaviour {
            Behaviour::Hang => return None,
            Behaviour::Fail => (500, None, None),
            Behaviour::PushBack => (429, Some(retry_after), None),
            Behaviour::Refuse => (400, None, None),
            Behaviour::Accept => (202, None, message_id(call)),
        };
        Some(Self {
            status,
            retry_after,
            message_id,
        })
    }
}

/// Unique, and the same in every run: each message that a real provider takes has an id of its own, also the
/// duplicates.
pub(super) fn message_id(call: &Call<'_>) -> Option<ProviderMessageId> {
    format!("sim-{}-{}", call.message_id, call.attempt_number)
        .parse()
        .ok()
}

pub(super) fn classify(response: Response) -> SendResult {
    match response.status {
        202 => SendResult::Success {
            provider_message_id: response.message_id,
        },
        400 => SendResult::Rejected {
            error_code: ErrorCode::of("provider_rejected"),
        },
        429 => SendResult::RateLimited {
            retry_after: response.retry_after,
            error_code: ErrorCode::of("provider_rate_limited"),
        },
        500..=599 => SendResult::Error {
            error_code: ErrorCode::of("provider_error"),
        },
        // An unknown status says neither taken nor refused for good: another attempt is worth it.
        _ => SendResult::Error {
            error_code: ErrorCode::of("provider_unexpected_reply"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_result() {
        let hint = Some(Duration::from_secs(1));
        let id: Option<ProviderMessageId> = "sim-1".parse().ok();
        let limited = |retry_after| SendResult::RateLimited {
            retry_after,
            error_code: ErrorCode::of("provider_rate_limited"),
        };
        let error = |code: &'static str| SendResult::Error {
            error_code: ErrorCode::of(code),
        };
        let unexpected = error("provider_unexpected_reply");
        let rejected = SendResult::Rejected {
            error_code: ErrorCode::of("provider_rejected"),
        };
        for (label, status, expected) in [
            (
                "taken",
                202,
                SendResult::Success {
                    provider_message_id: id.clone(),
                },
            ),
            ("refused for good", 400, rejected),
            ("slow down", 429, limited(hint)),
            ("failed", 500, error("provider_error")),
            ("overloaded", 503, error("provider_error")),
            ("moved", 302, unexpected.clone()),
            ("not found", 404, unexpected.clone()),
            ("no status of HTTP", 0, unexpected),
        ] {
            let response = Response {
                status,
                retry_after: hint,
                message_id: id.clone(),
            };
            assert_eq!(classify(response), expected, "{label}");
        }
        assert_eq!(
            classify(Response {
                status: 429,
                ..Response::default()
            }),
            limited(None)
        );
    }
}
