use std::time::Duration;

use domain::{Clock, ErrorCode, Outcome, Status, Timestamp};
use store::MessageDetail;

use crate::{Engine, dispatch::Dispatcher};

/// Why a pending message is not being sent right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub reason: HoldReason,
    /// `None` while an open breaker admits probes: it may close at any time.
    pub until: Option<Timestamp>,
}

/// What a pending message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldReason {
    /// The time for which it was accepted.
    Scheduled,
    /// The breaker of its provider.
    BreakerOpen,
    /// The time that its provider asked for.
    RateLimited,
    /// The backoff after an attempt that ended with this error.
    Backoff(ErrorCode),
}

impl Engine {
    /// When a message is tried next, and what it waits for. Both are `None` for a message that is final or leased.
    #[must_use]
    pub fn hold(&self, detail: &MessageDetail) -> (Option<Timestamp>, Option<Hold>) {
        hold(&self.dispatcher, &*self.node.clock, detail)
    }
}

/// See [`Engine::hold`].
pub(crate) fn hold(
    dispatcher: &Dispatcher,
    clock: &dyn Clock,
    detail: &MessageDetail,
) -> (Option<Timestamp>, Option<Hold>) {
    let Some(waiting) = detail.waiting.filter(|waiting| !waiting.leased) else {
        return (None, None);
    };
    if detail.message.status == Status::Scheduled {
        let (reason, until) = (HoldReason::Scheduled, Some(waiting.due_at));
        return (until, Some(Hold { reason, until }));
    }
    let blocked_for = detail
        .message
        .provider
        .as_ref()
        .and_then(|provider| dispatcher.blocked_for(provider));
    if let Some(remaining) = blocked_for {
        let until = (remaining > Duration::ZERO).then(|| clock.now().saturating_add(remaining));
        let next = until.map_or(waiting.due_at, |until| until.max(waiting.due_at));
        let reason = HoldReason::BreakerOpen;
        return (Some(next), Some(Hold { reason, until }));
    }
    if waiting.due {
        return (Some(waiting.due_at), None);
    }
    let hold = detail.attempts.last().map(|last| {
        let reason = match (last.outcome, &last.error_code) {
            (Outcome::RateLimited, _) => HoldReason::RateLimited,
            (_, Some(code)) => HoldReason::Backoff(code.clone()),
            (outcome, None) => HoldReason::Backoff(ErrorCode::of(outcome.as_str())),
        };
        let until = Some(waiting.due_at);
        Hold { reason, until }
    });
    (Some(waiting.due_at), hold)
}
