//! What the simulated providers say on the wire, and what it means here. Every real provider has the same two
//! parts: its own replies, and a `classify` that alone understands them.

use std::time::Duration;

use domain::ErrorCode;

use super::behaviour::Behaviour;
use crate::SendResult;

/// A reply, as an HTTP API would give it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireResponse {
    status: u16,
    retry_after: Option<Duration>,
}

impl WireResponse {
    /// How a simulated provider replies; `None` when it says nothing.
    pub(super) fn of(behaviour: Behaviour, retry_after: Duration) -> Option<Self> {
        let (status, retry_after) = match behaviour {
            Behaviour::Hang => return None,
            Behaviour::Fail => (500, None),
            Behaviour::PushBack => (429, Some(retry_after)),
            Behaviour::Accept => (202, None),
        };
        Some(Self { status, retry_after })
    }
}

/// What a reply means.
pub(super) fn classify(reply: WireResponse) -> SendResult {
    match reply.status {
        202 => SendResult::Success {
            provider_message_id: None,
        },
        429 => SendResult::RateLimited {
            retry_after: reply.retry_after,
            error_code: ErrorCode::of("provider_rate_limited"),
        },
        500..=599 => SendResult::Error {
            error_code: ErrorCode::of("provider_error"),
        },
        // Not understood is neither taken nor refused for good: it is worth another try.
        _ => SendResult::Error {
            error_code: ErrorCode::of("provider_unexpected_reply"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: Duration = Duration::from_millis(1_000);

    fn rate_limited(retry_after: Option<Duration>) -> SendResult {
        let error_code = ErrorCode::of("provider_rate_limited");
        SendResult::RateLimited {
            retry_after,
            error_code,
        }
    }

    fn error(code: &'static str) -> SendResult {
        SendResult::Error {
            error_code: ErrorCode::of(code),
        }
    }

    #[test]
    fn every_reply_has_a_meaning() {
        let cases = [
            (
                "taken",
                202,
                None,
                SendResult::Success {
                    provider_message_id: None,
                },
            ),
            (
                "slow down, with a hint",
                429,
                Some(HINT),
                rate_limited(Some(HINT)),
            ),
            ("slow down, without", 429, None, rate_limited(None)),
            ("failed", 500, None, error("provider_error")),
            ("overloaded", 503, Some(HINT), error("provider_error")),
            ("moved", 302, None, error("provider_unexpected_reply")),
            ("no status of HTTP", 0, None, error("provider_unexpected_reply")),
        ];
        for (label, status, retry_after, expected) in cases {
            assert_eq!(
                classify(WireResponse { status, retry_after }),
                expected,
                "{label}"
            );
        }
    }

    #[test]
    fn every_behaviour_has_its_answer() {
        let answer = |behaviour| WireResponse::of(behaviour, HINT).map(classify);
        assert_eq!(
            answer(Behaviour::Accept),
            Some(SendResult::Success {
                provider_message_id: None
            })
        );
        assert_eq!(answer(Behaviour::PushBack), Some(rate_limited(Some(HINT))));
        assert_eq!(answer(Behaviour::Fail), Some(error("provider_error")));
        assert_eq!(answer(Behaviour::Hang), None);
    }
}
