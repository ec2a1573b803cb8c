use std::sync::Arc;

use domain::{ErrorCode, FailureReason, Outcome};
use providers::{Call, SendResult};
use resilience::breaker::Verdict;
use store::{AttemptRecord, Disposition, Leased};
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

use super::{
    call::{self, Panicked},
    circuit::Permitted,
    disposition::{Failover, fail_over},
    lane::{Lane, lease_clock},
    queue::Held,
};

/// Gives queued entries to workers until the lane stops. Then gives back what was not started, and waits for the calls under way.
pub(super) async fn run(lane: Arc<Lane>, mut waiting: mpsc::Receiver<Held>) {
    let concurrency = lane.settings.concurrency;
    let workers = Arc::new(Semaphore::new(concurrency));
    loop {
        let next = async {
            let worker = Arc::clone(&workers).acquire_owned().await;
            (worker, waiting.recv().await)
        };
        let (worker, held) = tokio::select! {
            biased;
            () = lane.stop.cancelled() => break,
            next = next => next,
        };
        let (Ok(worker), Some(mut held)) = (worker, held) else {
            break;
        };
        lane.queue.taken(&mut held);
        let shared = Arc::clone(&lane);
        lane.node.tasks.spawn(Box::pin(async move {
            shared.process(held).await;
            drop(worker);
        }));
    }
    waiting.close();
    while let Some(Held { leased, .. }) = waiting.recv().await {
        lane.settler.release(leased.id, leased.token).await;
    }
    let all = u32::try_from(concurrency).unwrap_or(u32::MAX);
    let _ = workers.acquire_many(all).await;
}

impl Lane {
    /// Calls the provider and settles the result, unless there is a reason not to call.
    async fn process(&self, held: Held) {
        let leased = &held.leased;
        // A call must end before the lease does. It may take half a lease, so more than half must be left.
        let left = held.lease_ends.saturating_sub(lease_clock(&*self.node.clock));
        if left <= self.dispatch.lease / 2 {
            return self.settler.release(leased.id, leased.token).await;
        }
        if let Some(reason) = self.expired(&held) {
            return self
                .end_without_call(leased, Disposition::DeadLetter(reason))
                .await;
        }
        let Some(permitted) = self.circuit.admit() else {
            self.metrics.short_circuited.inc();
            return self.settler.release(leased.id, leased.token).await;
        };
        self.call(leased, permitted).await;
    }

    fn expired(&self, held: &Held) -> Option<FailureReason> {
        if self.node.clock.monotonic() >= held.deadline_ends {
            return Some(FailureReason::Deadline);
        }
        let exhausted = self.rules.is_exhausted(held.leased.progress);
        exhausted.then_some(FailureReason::Exhausted)
    }

    async fn end_without_call(&self, leased: &Leased, disposition: Disposition) {
        self.settler
            .settle(leased, None, leased.progress, disposition, Vec::new())
            .await;
    }

    async fn call(&self, leased: &Leased, permitted: Permitted<'_>) {
        let clock = &self.node.clock;
        let (began, occurred_at, probe) = (clock.monotonic(), clock.now(), permitted.is_probe());
        let call = Call {
            message_id: leased.id,
            attempt_number: leased.progress.attempts + 1,
            completed_attempts: leased.progress.completed(),
            content: &leased.content,
        };
        let span = tracing::info_span!(
            "attempt",
            message_id = %leased.id, conversation_id = %leased.conversation_id,
            provider = %self.provider.name(), attempt = call.attempt_number
        );
        let ended = call::call(&*self.provider, call, self.settings.call_timeout)
            .instrument(span.clone())
            .await;
        let latency = clock.monotonic().saturating_sub(began);
        match &ended {
            Ok(result) => permitted.record(verdict(result)),
            // A panic says nothing about the provider.
            Err(Panicked) => drop(permitted),
        }
        if probe {
            // The breaker may have closed, or admit another probe: what waits for that is claimed now.
            self.due.notify_one();
        }
        let random = self.jitter.next_u64();
        let (progress, disposition) = self.rules.after(leased.progress, &ended, probe, random);
        let (progress, disposition) = match disposition {
            Disposition::Retry { .. } => fail_over(progress, disposition, self.failover(leased)),
            final_one => (progress, final_one),
        };
        let (outcome, error_code) = match &ended {
            Ok(result) => (result.outcome(), result.error_code()),
            Err(Panicked) => (Outcome::Error, Some(ErrorCode::of("worker_panic"))),
        };
        let follow_ups = match &ended {
            Ok(SendResult::Success { .. } | SendResult::Timeout) => self.provider.follow_ups(&call),
            _ => Vec::new(),
        };
        let provider_message_id = match ended {
            Ok(SendResult::Success { provider_message_id }) => provider_message_id,
            _ => None,
        };
        span.in_scope(|| tracing::debug!(%outcome, "the call ended"));
        let attempt = AttemptRecord {
            outcome,
            error_code,
            occurred_at,
            latency,
            provider_message_id,
        };
        self.settler
            .settle(leased, Some(attempt), progress, disposition, follow_ups)
            .await;
    }

    /// When a message moves on, and to which provider; `None` if it never does.
    fn failover(&self, leased: &Leased) -> Option<Failover> {
        let region = self.dispatch.default_region;
        let route = self.node.routes.of_content(&leased.content, region)?;
        let mut providers = route.providers.iter().map(|provider| provider.name());
        providers.find(|name| *name == self.provider.name())?;
        Some(Failover {
            after: route.failover_after?,
            next: providers.next()?.clone(),
        })
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
