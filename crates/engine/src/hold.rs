use std::time::Duration;

use domain::{ErrorCode, Outcome, Timestamp};
use serde::Serialize;
use store::MessageDetail;

use crate::Engine;

/// Why a pending message is not being sent right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// What it waits for.
    pub reason: HoldReason,
    /// The status behind it, or the last error.
    pub code: HoldCode,
    /// Until when, as far as anybody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a pending message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its provider is not called at the moment.
    BreakerOpen,
    /// Its provider asked to slow down.
    RateLimited,
    /// Its last try failed.
    Backoff,
}

/// The status behind a hold (503 an open breaker, 429 a provider that asked to slow down), or the last error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum HoldCode {
    /// An HTTP status.
    Status(u16),
    /// The code of the last error.
    Error(ErrorCode),
}

impl Engine {
    /// What holds a message up, and when it is tried next: both derived from what is on record, at this moment.
    /// Nothing for a message that is final or with a worker.
    #[must_use]
    pub fn hold(&self, detail: &MessageDetail) -> (Option<Timestamp>, Option<Hold>) {
        let Some(waiting) = detail.waiting.filter(|waiting| !waiting.leased) else {
            return (None, None);
        };
        let breaker_opens_in = detail
            .message
            .provider
            .as_ref()
            .and_then(|provider| self.dispatcher.blocked_for(provider));
        if let Some(remaining) = breaker_opens_in {
            let until = (remaining > Duration::ZERO).then(|| self.clock.now().saturating_add(remaining));
            let next = until.map_or(waiting.due_at, |until| until.max(waiting.due_at));
            return (
                Some(next),
                Some(Hold {
                    reason: HoldReason::BreakerOpen,
                    code: HoldCode::Status(503),
                    until,
                }),
            );
        }
        if waiting.due {
            return (Some(waiting.due_at), None);
        }
        let hold = detail.attempts.last().map(|last| {
            let (reason, code) = match (last.outcome, &last.error_code) {
                (Outcome::RateLimited, _) => (HoldReason::RateLimited, HoldCode::Status(429)),
                (_, Some(code)) => (HoldReason::Backoff, HoldCode::Error(code.clone())),
                (outcome, None) => (
                    HoldReason::Backoff,
                    HoldCode::Error(ErrorCode::of(outcome.as_str())),
                ),
            };
            Hold {
                reason,
                code,
                until: Some(waiting.due_at),
            }
        });
        (Some(waiting.due_at), hold)
    }
}
