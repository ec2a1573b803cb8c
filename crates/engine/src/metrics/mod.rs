//! The counters and gauges of one node, in one registry per engine: the simulation runs several nodes in one process.
//!
//! Every series whose labels are known exists from the start, at 0: a series that appears with its first event hides that
//! event from `rate()` and `increase()`.

mod lifecycle;
mod provider;

use std::{collections::BTreeMap, fmt, sync::atomic::AtomicU64, time::Duration};

use domain::{Channel, ConversationChannel, Direction, FailureReason, Outcome, ProviderName};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use store::{AppliedReceipt, CommitReport, QueueDepth};

pub(crate) use self::provider::ProviderMetrics;

use self::lifecycle::LifecycleMetrics;
use crate::{Limit, webhooks::WebhookMetrics};

/// Upper ends of the buckets for durations, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper ends of the buckets for batches, in messages.
const MESSAGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

pub(crate) type Labels = Vec<(&'static str, String)>;
pub(crate) type Seconds = Gauge<f64, AtomicU64>;

pub struct Metrics {
    registry: Mutex<Registry>,
    accepted: Series<(Channel, Direction), Counter>,
    inbound_rejected: Family<Labels, Counter>,
    attempts: Family<Labels, Counter>,
    dispatch_latency: Family<Labels, Histogram, fn() -> Histogram>,
    short_circuited: Family<Labels, Counter>,
    breaker_state: Family<Labels, Gauge>,
    breaker_transitions: Family<Labels, Counter>,
    rate_limited: Series<Limit, Counter>,
    conversations_created: Series<ConversationChannel, Counter>,
    conversations_reused: Series<ConversationChannel, Counter>,
    conversation_failures: Series<ConversationChannel, Counter>,
    outbox_depth: Family<Labels, Gauge>,
    outbox_oldest: Family<Labels, Seconds>,
    queues: Mutex<BTreeMap<ProviderName, QueueGauges>>,
    dead_letters: Family<Labels, Counter>,
    settlements_set_aside: Family<Labels, Gauge>,
    pub(crate) invalid_routing: Counter,
    pub(crate) idempotent_replays: Counter,
    inbound_conflicts: Counter,
    commit_batch: Histogram,
    commit_seconds: Histogram,
    lifecycle: LifecycleMetrics,
    pub(crate) webhooks: WebhookMetrics,
}

/// The gauges of one provider's outbox entries.
struct QueueGauges {
    waiting: Gauge,
    leased: Gauge,
    dead: Gauge,
    oldest: Seconds,
}

/// The series of a metric for a fixed set of keys.
struct Series<K, M>(Vec<(K, M)>);

impl<K: PartialEq, M: Clone + Default> Series<K, M> {
    fn new(family: &Family<Labels, M>, keys: impl IntoIterator<Item = (K, Labels)>) -> Self {
        let keys = keys.into_iter();
        Self(
            keys.map(|(key, labels)| (key, family.get_or_create_owned(&labels)))
                .collect(),
        )
    }

    fn get(&self, key: &K) -> Option<&M> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, metric)| metric)
    }
}

impl<K: PartialEq> Series<K, Counter> {
    fn count(&self, key: &K) {
        if let Some(counter) = self.get(key) {
            counter.inc();
        }
    }
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let mut root = Registry::default();
        let registry = root.sub_registry_with_prefix("trunkline");
        let accepted = counters(
            registry,
            "messages_accepted",
            "Messages stored, in both directions",
        );
        let conversation = || {
            let channels = ConversationChannel::ALL.iter();
            channels.map(|channel| (*channel, vec![("channel", channel.to_string())]))
        };
        let metrics = Self {
            accepted: Series::new(
                &accepted,
                Channel::ALL.iter().flat_map(|channel| {
                    Direction::ALL.iter().map(|direction| {
                        let labels = vec![
                            ("channel", channel.to_string()),
                            ("direction", direction.to_string()),
                        ];
                        ((*channel, *direction), labels)
                    })
                }),
            ),
            inbound_rejected: counters(registry, "inbound_rejected", "Inbound messages refused"),
            inbound_conflicts: counter(
                registry,
                "inbound_conflicts",
                "Inbound messages whose id is known with other content; the first is kept",
            ),
            attempts: counters(registry, "dispatch_attempts", "Attempts recorded, by outcome"),
            dispatch_latency: {
                let family = Family::new_with_constructor(seconds as fn() -> Histogram);
                let help = "Duration of calls to a provider";
                registry.register_with_unit("dispatch_latency", help, Unit::Seconds, family.clone());
                family
            },
            short_circuited: counters(
                registry,
                "dispatch_short_circuited",
                "Outbox entries held back by an open breaker; they wait, and no attempt is used up",
            ),
            breaker_state: gauges(
                registry,
                "breaker_state",
                "1 for the current state of the breaker",
            ),
            breaker_transitions: counters(registry, "breaker_transitions", "State changes of the breaker"),
            rate_limited: Series::new(
                &counters(registry, "rate_limited", "Requests refused by a rate limit"),
                Limit::ALL.map(|limit| (limit, vec![("limit", limit.as_str().to_owned())])),
            ),
            conversations_created: Series::new(
                &counters(
                    registry,
                    "conversations_created",
                    "Messages that began a conversation",
                ),
                conversation(),
            ),
            conversations_reused: Series::new(
                &counters(
                    registry,
                    "conversations_reused",
                    "Messages that joined an existing conversation",
                ),
                conversation(),
            ),
            conversation_failures: Series::new(
                &counters(
                    registry,
                    "conversation_failures",
                    "Messages that the store refused for good",
                ),
                conversation(),
            ),
            outbox_depth: gauges(registry, "outbox_depth", "Outbox entries, by state"),
            outbox_oldest: {
                let (family, help) = (
                    Family::default(),
                    "Time since the oldest pending entry became due",
                );
                registry.register_with_unit("outbox_oldest", help, Unit::Seconds, Family::clone(&family));
                family
            },
            queues: Mutex::default(),
            dead_letters: counters(registry, "dead_letters", "Messages that became dead letters"),
            settlements_set_aside: gauges(
                registry,
                "settlements_set_aside",
                "Results of calls that the store does not take yet",
            ),
            invalid_routing: counter(
                registry,
                "invalid_routing",
                "Messages for a channel that no provider serves",
            ),
            idempotent_replays: counter(
                registry,
                "idempotent_replays",
                "Repeated requests answered with the first answer",
            ),
            commit_batch: {
                let histogram = Histogram::new(MESSAGES);
                let help = "Messages that shared a commit";
                registry.register("commit_batch_messages", help, histogram.clone());
                histogram
            },
            commit_seconds: {
                let histogram = seconds();
                registry.register_with_unit(
                    "commit",
                    "Duration of commits",
                    Unit::Seconds,
                    histogram.clone(),
                );
                histogram
            },
            lifecycle: LifecycleMetrics::new(registry),
            webhooks: WebhookMetrics::new(registry),
            registry: Mutex::default(),
        };
        *metrics.registry.lock() = root;
        metrics
    }

    /// Lets another part of the node register its metrics. Their names get no prefix.
    pub fn register_with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock())
    }

    /// All metrics as OpenMetrics 1.0 text.
    ///
    /// # Errors
    /// When formatting fails, which writing into a string does not.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }

    /// Shows these reasons for refusing an inbound message from the start.
    pub fn declare_inbound_rejections(&self, reasons: &[&'static str]) {
        for reason in reasons {
            drop(self.inbound_rejected.get_or_create(&by_reason(reason)));
        }
    }

    pub fn count_inbound_rejected(&self, reason: &'static str) {
        self.inbound_rejected.get_or_create(&by_reason(reason)).inc();
    }

    pub fn count_inbound_conflict(&self) {
        self.inbound_conflicts.inc();
    }

    pub(crate) fn count_accepted(&self, channel: Channel, direction: Direction, sequence: u64) {
        self.accepted.count(&(channel, direction));
        let conversations = if sequence == 1 {
            &self.conversations_created
        } else {
            &self.conversations_reused
        };
        conversations.count(&channel.conversation());
    }

    pub(crate) fn count_conversation_failure(&self, channel: Channel) {
        self.conversation_failures.count(&channel.conversation());
    }

    pub(crate) fn count_rate_limited(&self, limit: Limit) {
        self.rate_limited.count(&limit);
    }

    /// For providers that this node may not serve: a sweep finds other nodes' entries too.
    pub(crate) fn count_attempt(&self, provider: &ProviderName, channel: Channel, outcome: Outcome) {
        self.attempts
            .get_or_create(&by_outcome(provider, channel, outcome))
            .inc();
    }

    /// The attempt that was recorded for an expired lease before a receipt was applied.
    pub(crate) fn count_expired_lease(&self, applied: &AppliedReceipt) {
        if let Some((provider, channel)) = &applied.lease_expired {
            self.count_attempt(provider, *channel, Outcome::Unknown);
        }
    }

    pub(crate) fn count_dead_letter(&self, provider: &ProviderName, reason: FailureReason) {
        self.dead_letters
            .get_or_create(&by_failure(provider, reason))
            .inc();
    }

    /// Shows the outbox as it was last counted. A provider without entries is not among the depths; its gauges show 0.
    pub fn set_queue_depths(&self, depths: &[QueueDepth]) {
        let mut queues = self.queues.lock();
        for depth in depths {
            self.queue(&mut queues, &depth.provider);
        }
        for (provider, queue) in &*queues {
            match depths.iter().find(|depth| depth.provider == *provider) {
                Some(depth) => queue.set(depth.waiting, depth.leased, depth.dead, depth.oldest),
                None => queue.set(0, 0, 0, Duration::ZERO),
            }
        }
    }

    fn queue(&self, queues: &mut BTreeMap<ProviderName, QueueGauges>, provider: &ProviderName) {
        let depth = |state: &str| {
            let labels = vec![("provider", provider.to_string()), ("state", state.to_owned())];
            self.outbox_depth.get_or_create_owned(&labels)
        };
        queues.entry(provider.clone()).or_insert_with(|| QueueGauges {
            waiting: depth("waiting"),
            leased: depth("leased"),
            dead: depth("dead"),
            oldest: self.outbox_oldest.get_or_create_owned(&by_provider(provider)),
        });
    }

    pub(crate) fn count_commit(&self, report: CommitReport) {
        self.commit_batch.observe(report.messages as f64);
        self.commit_seconds.observe(report.took.as_secs_f64());
    }
}

impl QueueGauges {
    fn set(&self, waiting: u64, leased: u64, dead: u64, oldest: Duration) {
        for (gauge, depth) in [
            (&self.waiting, waiting),
            (&self.leased, leased),
            (&self.dead, dead),
        ] {
            gauge.set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
        self.oldest.set(oldest.as_secs_f64());
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

pub(crate) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

pub(crate) fn counters(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

pub(crate) fn gauges(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Gauge> {
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

fn by_reason(reason: &str) -> Labels {
    vec![("reason", reason.to_owned())]
}

fn by_provider(provider: &ProviderName) -> Labels {
    vec![("provider", provider.to_string())]
}

fn by_outcome(provider: &ProviderName, channel: Channel, outcome: Outcome) -> Labels {
    vec![
        ("provider", provider.to_string()),
        ("channel", channel.to_string()),
        ("outcome", outcome.to_string()),
    ]
}

fn by_failure(provider: &ProviderName, reason: FailureReason) -> Labels {
    vec![("provider", provider.to_string()), ("reason", reason.to_string())]
}
