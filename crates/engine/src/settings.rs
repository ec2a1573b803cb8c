use std::time::Duration;

use resilience::{Backoff, BreakerSettings, Quota};
use store::Deadlines;

/// What the operator decides about the engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long a message may be tried.
    pub deadlines: Deadlines,
    /// How long an idempotency key is kept.
    pub idempotency_ttl: Duration,
    /// Messages that share a commit.
    pub commit_batch_max: usize,
    /// Messages that may wait for theirs.
    pub commit_queue_max: usize,
    /// What clients may ask.
    pub limits: LimitSettings,
    /// How messages are dispatched.
    pub dispatch: DispatchSettings,
}

/// How much clients may ask, each a minute and in one burst.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Requests of one address to the send routes.
    pub per_ip: Quota,
    /// Messages accepted from one sender.
    pub per_sender: Quota,
    /// Requests of one address to the inbound routes.
    pub webhook_per_ip: Quota,
}

/// How messages are dispatched, per provider.
#[derive(Debug, Clone)]
pub struct DispatchSettings {
    /// Calls to one provider at the same time.
    pub concurrency: usize,
    /// Entries claimed or settled at once.
    pub batch_messages_max: usize,
    /// How often a lane looks for due entries when it has nothing to do.
    pub poll: Duration,
    /// How long a call may take. At most half the lease.
    pub call_timeout: Duration,
    /// How long a claimed entry is ours.
    pub lease: Duration,
    /// Counted attempts before a message is given up.
    pub attempts_max: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
    /// When to stop calling a provider.
    pub breaker: BreakerSettings,
}
