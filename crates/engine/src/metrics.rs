//! Everything that is counted, under the names of the contract. One registry per engine: several nodes live in one
//! process when the simulation runs.

use std::{fmt, time::Duration};

use domain::{Channel, ConversationChannel, Direction, FailureReason, Outcome, ProviderName};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use resilience::breaker::{BreakerState, Transition};
use store::{CommitReport, QueueDepth};

/// Upper ends of the buckets for durations, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper ends of the buckets for batches, in messages.
const MESSAGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The counters of one node.
pub struct Metrics {
    registry: Mutex<Registry>,
    accepted: Family<ByChannelAndDirection, Counter>,
    inbound_rejected: Family<ByReason, Counter>,
    attempts: Family<ByOutcome, Counter>,
    dispatch_latency: Family<ByProvider, Histogram>,
    short_circuited: Family<ByProvider, Counter>,
    breaker_state: Family<ByState, Gauge>,
    breaker_transitions: Family<ByTransition, Counter>,
    rate_limited: Family<ByLimit, Counter>,
    conversations_created: Family<ByConversationChannel, Counter>,
    conversations_reused: Family<ByConversationChannel, Counter>,
    conversation_failures: Family<ByConversationChannel, Counter>,
    outbox_depth: Family<ByQueue, Gauge>,
    outbox_oldest: Family<ByProvider, Gauge<f64, std::sync::atomic::AtomicU64>>,
    dead_letters: Family<ByFailure, Counter>,
    settlements_set_aside: Family<ByProvider, Gauge>,
    pub(crate) invalid_routing: Counter,
    pub(crate) idempotent_replays: Counter,
    commit_batch: Histogram,
    commit_seconds: Histogram,
}

/// A word of a vocabulary as the value of a label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByChannelAndDirection {
    channel: Word,
    direction: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByReason {
    reason: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByOutcome {
    provider: String,
    channel: Word,
    outcome: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByProvider {
    provider: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByState {
    provider: String,
    state: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByTransition {
    provider: String,
    from: Word,
    to: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByLimit {
    limit: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByConversationChannel {
    channel: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByQueue {
    provider: String,
    state: Word,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByFailure {
    provider: String,
    reason: Word,
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Mutex::new(Registry::with_prefix("trunkline")),
            accepted: Family::default(),
            inbound_rejected: Family::default(),
            attempts: Family::default(),
            dispatch_latency: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            short_circuited: Family::default(),
            breaker_state: Family::default(),
            breaker_transitions: Family::default(),
            rate_limited: Family::default(),
            conversations_created: Family::default(),
            conversations_reused: Family::default(),
            conversation_failures: Family::default(),
            outbox_depth: Family::default(),
            outbox_oldest: Family::default(),
            dead_letters: Family::default(),
            settlements_set_aside: Family::default(),
            invalid_routing: Counter::default(),
            idempotent_replays: Counter::default(),
            commit_batch: Histogram::new(MESSAGES),
            commit_seconds: Histogram::new(SECONDS),
        };
        metrics.register();
        metrics
    }

    /// Lets another part of the node register what it counts.
    pub fn register_with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock())
    }

    /// Everything in the text format that Prometheus scrapes (OpenMetrics 1.0).
    ///
    /// # Errors
    /// When formatting fails, which writing into a string does not.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }

    /// Counts an inbound message that was turned away.
    pub fn count_inbound_rejected(&self, reason: &'static str) {
        self.inbound_rejected
            .get_or_create(&ByReason { reason: Word(reason) })
            .inc();
    }

    pub(crate) fn count_accepted(&self, channel: Channel, direction: Direction, sequence: u64) {
        let labels = ByChannelAndDirection {
            channel: Word(channel.as_str()),
            direction: Word(direction.as_str()),
        };
        self.accepted.get_or_create(&labels).inc();
        let threads = if sequence == 1 {
            &self.conversations_created
        } else {
            &self.conversations_reused
        };
        threads
            .get_or_create(&by_conversation(channel.conversation()))
            .inc();
    }

    pub(crate) fn count_conversation_failure(&self, channel: Channel) {
        self.conversation_failures
            .get_or_create(&by_conversation(channel.conversation()))
            .inc();
    }

    pub(crate) fn count_rate_limited(&self, limit: &'static str) {
        self.rate_limited
            .get_or_create(&ByLimit { limit: Word(limit) })
            .inc();
    }

    pub(crate) fn count_attempt(&self, provider: &ProviderName, channel: Channel, outcome: Outcome) {
        self.attempts
            .get_or_create(&by_outcome(provider, channel, outcome))
            .inc();
    }

    /// How many attempts at a provider ended so, on this node since it started.
    pub(crate) fn attempts(&self, provider: &ProviderName, outcome: Outcome) -> u64 {
        // Only looked up: asking must not bring series into being that nothing was counted in.
        let of_channel = |channel: &Channel| {
            self.attempts
                .get(&by_outcome(provider, *channel, outcome))
                .map_or(0, |counter| counter.get())
        };
        Channel::ALL.iter().map(of_channel).sum()
    }

    pub(crate) fn observe_latency(&self, provider: &ProviderName, latency: Duration) {
        self.dispatch_latency
            .get_or_create(&by_provider(provider))
            .observe(latency.as_secs_f64());
    }

    pub(crate) fn count_short_circuited(&self, provider: &ProviderName) {
        self.short_circuited.get_or_create(&by_provider(provider)).inc();
    }

    pub(crate) fn count_dead_letter(&self, provider: &ProviderName, reason: FailureReason) {
        let labels = ByFailure {
            provider: provider.to_string(),
            reason: Word(reason.as_str()),
        };
        self.dead_letters.get_or_create(&labels).inc();
    }

    pub(crate) fn set_settlements_set_aside(&self, provider: &ProviderName, settlements: usize) {
        self.settlements_set_aside
            .get_or_create(&by_provider(provider))
            .set(i64::try_from(settlements).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_transition(&self, provider: &ProviderName, transition: Transition) {
        let labels = ByTransition {
            provider: provider.to_string(),
            from: Word(transition.from.as_str()),
            to: Word(transition.to.as_str()),
        };
        self.breaker_transitions.get_or_create(&labels).inc();
        self.set_breaker_state(provider, transition.to);
    }

    /// One gauge per state, of which one is 1: what can be alerted on without knowing a code.
    pub(crate) fn set_breaker_state(&self, provider: &ProviderName, now_in: BreakerState) {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let labels = ByState {
                provider: provider.to_string(),
                state: Word(state.as_str()),
            };
            self.breaker_state
                .get_or_create(&labels)
                .set(i64::from(state == now_in));
        }
    }

    /// Shows what the queues held when they were last looked at.
    pub fn set_queue_depths(&self, depths: &[QueueDepth]) {
        // A queue that has become empty is not among the depths any more, and must not show its last number.
        self.outbox_depth.clear();
        self.outbox_oldest.clear();
        for QueueDepth {
            provider,
            waiting,
            leased,
            dead,
            oldest,
            capped: _,
        } in depths
        {
            for (state, depth) in [("waiting", waiting), ("leased", leased), ("dead", dead)] {
                let labels = ByQueue {
                    provider: provider.to_string(),
                    state: Word(state),
                };
                self.outbox_depth
                    .get_or_create(&labels)
                    .set(i64::try_from(*depth).unwrap_or(i64::MAX));
            }
            self.outbox_oldest
                .get_or_create(&by_provider(provider))
                .set(oldest.as_secs_f64());
        }
    }

    pub(crate) fn count_commit(&self, report: CommitReport) {
        self.commit_batch.observe(report.messages as f64);
        self.commit_seconds.observe(report.took.as_secs_f64());
    }

    fn register(&mut self) {
        let registry = self.registry.get_mut();
        registry.register(
            "messages_accepted",
            "Messages stored, either way",
            self.accepted.clone(),
        );
        registry.register(
            "inbound_rejected",
            "Inbound messages turned away",
            self.inbound_rejected.clone(),
        );
        registry.register(
            "dispatch_attempts",
            "Attempts recorded, by how they ended",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "dispatch_latency",
            "How long calls to a provider took",
            Unit::Seconds,
            self.dispatch_latency.clone(),
        );
        registry.register(
            "dispatch_short_circuited",
            "Entries turned away by an open breaker; they wait, and no attempt is consumed",
            self.short_circuited.clone(),
        );
        registry.register(
            "breaker_state",
            "1 for the state the breaker is in",
            self.breaker_state.clone(),
        );
        registry.register(
            "breaker_transitions",
            "Changes of state of a breaker",
            self.breaker_transitions.clone(),
        );
        registry.register(
            "rate_limited",
            "Requests refused by a limit",
            self.rate_limited.clone(),
        );
        registry.register(
            "conversations_created",
            "Messages that began a conversation",
            self.conversations_created.clone(),
        );
        registry.register(
            "conversations_reused",
            "Messages that joined one",
            self.conversations_reused.clone(),
        );
        registry.register(
            "conversation_failures",
            "Messages the store refused to thread",
            self.conversation_failures.clone(),
        );
        registry.register(
            "outbox_depth",
            "Entries in the outbox, by state",
            self.outbox_depth.clone(),
        );
        registry.register_with_unit(
            "outbox_oldest",
            "How long the oldest pending entry has been due",
            Unit::Seconds,
            self.outbox_oldest.clone(),
        );
        registry.register("dead_letters", "Messages given up", self.dead_letters.clone());
        registry.register(
            "settlements_set_aside",
            "Results of calls that the store does not take yet",
            self.settlements_set_aside.clone(),
        );
        registry.register(
            "invalid_routing",
            "Messages for a channel nobody serves",
            self.invalid_routing.clone(),
        );
        registry.register(
            "idempotent_replays",
            "Repeated requests answered again",
            self.idempotent_replays.clone(),
        );
        registry.register(
            "commit_batch_messages",
            "Messages that shared a commit",
            self.commit_batch.clone(),
        );
        registry.register_with_unit(
            "commit",
            "How long commits took",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn by_conversation(channel: ConversationChannel) -> ByConversationChannel {
    ByConversationChannel {
        channel: Word(channel.as_str()),
    }
}

fn by_provider(provider: &ProviderName) -> ByProvider {
    ByProvider {
        provider: provider.to_string(),
    }
}

fn by_outcome(provider: &ProviderName, channel: Channel, outcome: Outcome) -> ByOutcome {
    ByOutcome {
        provider: provider.to_string(),
        channel: Word(channel.as_str()),
        outcome: Word(outcome.as_str()),
    }
}
