use std::{collections::BTreeMap, time::Duration};

use domain::{ProviderName, Region};
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

/// Rate limits on clients, each a minute and in one burst; `None` is off.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Requests of one address to the send routes.
    pub per_ip: Option<Quota>,
    /// Messages accepted from one sender.
    pub per_sender: Option<Quota>,
    /// Requests of one address to the inbound routes.
    pub webhook_per_ip: Option<Quota>,
}

/// How messages are dispatched.
#[derive(Debug, Clone)]
pub struct DispatchSettings {
    /// Entries claimed or settled at once.
    pub batch_messages_max: usize,
    /// How often a lane looks for due entries when it has nothing to do.
    pub poll: Duration,
    /// How long an entry is leased.
    pub lease: Duration,
    /// Counted attempts before a message becomes a dead letter.
    pub attempts_max: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// Reads the addresses of messages whose route is chosen again. The same as where they are accepted.
    pub default_region: Option<Region>,
    /// Settings of a provider that has none in `lanes`.
    pub lane: LaneSettings,
    /// Providers with settings of their own.
    pub lanes: BTreeMap<ProviderName, LaneSettings>,
}

/// How one provider is called.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    /// Calls at the same time.
    pub concurrency: usize,
    /// How long a call may take. At most half the lease.
    pub call_timeout: Duration,
    /// When to stop calling.
    pub breaker: BreakerSettings,
}

impl DispatchSettings {
    /// The settings of a provider's lane: its own, or the default.
    #[must_use]
    pub fn lane_of(&self, provider: &ProviderName) -> LaneSettings {
        self.lanes.get(provider).copied().unwrap_or(self.lane)
    }
}
