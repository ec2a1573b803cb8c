use std::{collections::BTreeMap, time::Duration};

use domain::{ProviderName, Region};
use resilience::{Backoff, BreakerSettings, Quota};
use store::Deadlines;

/// Calls for scripted recipients at the same time: calls that hang do not hold up others.
const SCRIPTED_CONCURRENCY: usize = 256;

#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long messages may be tried.
    pub deadlines: Deadlines,
    /// How long an idempotency key is kept.
    pub idempotency_ttl: Duration,
    /// How long events are kept, and receipts that match no message.
    pub events_retention: Duration,
    /// Messages in one commit.
    pub commit_batch_max: usize,
    /// Messages that may wait for a commit.
    pub commit_queue_max: usize,
    pub limits: LimitSettings,
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

#[derive(Debug, Clone)]
pub struct DispatchSettings {
    /// Entries claimed or settled at once.
    pub batch_messages_max: usize,
    /// How often an idle lane claims due entries.
    pub poll: Duration,
    pub lease: Duration,
    /// Counted attempts before a message becomes a dead letter.
    pub attempts_max: u32,
    pub backoff: Backoff,
    /// Reads the addresses of a message when its next provider is chosen. The same region as for the accept.
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
    pub breaker: BreakerSettings,
    /// Without one, failures never stop the calls.
    pub has_breaker: bool,
}

impl DispatchSettings {
    /// The settings of a provider's lane: its own, or the default.
    #[must_use]
    pub fn lane_of(&self, provider: &ProviderName) -> LaneSettings {
        self.lanes.get(provider).copied().unwrap_or(self.lane)
    }

    /// The settings of the lane for scripted recipients. Their failures are on purpose.
    #[must_use]
    pub(crate) fn scripted_lane(&self) -> LaneSettings {
        LaneSettings {
            concurrency: SCRIPTED_CONCURRENCY,
            has_breaker: false,
            ..self.lane
        }
    }
}
