use std::time::Duration;

use domain::{Clock, ErrorCode, FailureReason, Outcome};
use mutants::Mutant;
use providers::{Call, SendResult};
use resilience::breaker::Verdict;
use store::{AttemptRecord, Disposition, Leased, Settlement};
use tracing::Instrument;

use super::{
    lane::{Held, Lane, LaneParts},
    send::{self, Panicked},
};

impl Lane {
    /// Sends one message, unless there is a reason not to, and has recorded what came of it.
    pub(super) async fn process(&self, held: Held) {
        let LaneParts {
            provider,
            settings,
            lane,
            clock,
            metrics,
            settler,
            ..
        } = &self.parts;
        let Held {
            leased,
            lease_ends,
            deadline_ends,
            ..
        } = held;
        let Leased {
            id,
            conversation_id,
            content,
            token,
            progress,
        } = leased;
        let now = clock.monotonic();
        // A call must be over before the lease is: it takes half a lease at most, so half of it must be left.
        let left = lease_ends.saturating_sub(lease_clock(clock.as_ref()));
        if left <= settings.lease / 2 && !mutants::planted(Mutant::LeaseNotChecked) {
            return settler.release(id, token).await;
        }
        let expired = if now >= deadline_ends && !mutants::planted(Mutant::DeadlineIgnored) {
            Some(FailureReason::Deadline)
        } else {
            self.rules
                .is_exhausted(progress)
                .then_some(FailureReason::Exhausted)
        };
        if let Some(reason) = expired {
            let disposition = Disposition::DeadLetter(reason);
            return settler
                .settle(
                    Settlement {
                        id,
                        token,
                        tried: None,
                        disposition,
                        progress,
                    },
                    content.channel,
                )
                .await;
        }
        let Some(permitted) = self.circuit.admit() else {
            metrics.short_circuited.inc();
            if mutants::planted(Mutant::DropOnBreakerOpen) {
                let (tried, disposition) = (None, Disposition::Finish);
                let dropped = Settlement {
                    id,
                    token,
                    tried,
                    disposition,
                    progress,
                };
                return settler.settle(dropped, content.channel).await;
            }
            return settler.release(id, token).await;
        };
        let (occurred_at, probe) = (clock.now(), permitted.is_probe());
        let call = Call {
            message_id: id,
            attempt_number: progress.attempts + 1,
            content: &content,
        };
        let attempt = tracing::info_span!(
            "attempt",
            message_id = %id, %conversation_id, provider = %provider.name(), attempt = call.attempt_number
        );
        let ended = send::call(provider.as_ref(), call, lane.call_timeout)
            .instrument(attempt.clone())
            .await;
        let latency = clock.monotonic().saturating_sub(now);
        match &ended {
            Ok(result) => permitted.record(verdict(result)),
            // A panic says nothing about the provider.
            Err(Panicked) => drop(permitted),
        }
        if probe {
            // The breaker has closed, or has room for another probe: what waits for that should not wait for the next look.
            self.wake();
        }
        let (progress, disposition) = self.rules.after(progress, &ended, probe, self.jitter.next_u64());
        let (outcome, error_code) = match &ended {
            Ok(result) => (result.outcome(), result.error_code()),
            Err(Panicked) => (Outcome::Error, Some(ErrorCode::of("worker_panic"))),
        };
        attempt.in_scope(|| tracing::debug!(%outcome, "dispatched"));
        let tried = Some(AttemptRecord {
            outcome,
            error_code,
            occurred_at,
            latency,
        });
        settler
            .settle(
                Settlement {
                    id,
                    token,
                    tried,
                    disposition,
                    progress,
                },
                content.channel,
            )
            .await;
    }
}

/// What a result says about the provider.
fn verdict(result: &SendResult) -> Verdict {
    match result {
        SendResult::Success { .. } => Verdict::Success,
        SendResult::RateLimited { .. } | SendResult::Rejected { .. } => Verdict::Answered,
        SendResult::Error { .. } | SendResult::Timeout => Verdict::Failure,
    }
}

/// The clock by which leases are measured on this side: a monotonic one, or a wall clock that is set back would make them
/// longer than the store's.
pub(super) fn lease_clock(clock: &dyn Clock) -> Duration {
    if mutants::planted(Mutant::LeaseByNodeClock) {
        return clock.now().saturating_since(domain::Timestamp::MIN);
    }
    clock.monotonic()
}
