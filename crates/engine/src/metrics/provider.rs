//! The series of one provider.

use std::{sync::Arc, time::Duration};

use domain::{Channel, FailureReason, Outcome, ProviderName};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use resilience::breaker::{BreakerState, Transition};

use super::{Labels, Metrics, Series, by_failure, by_outcome, by_provider};

const BREAKER_STATES: [BreakerState; 3] = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];
const BREAKER_TRANSITIONS: [(BreakerState, BreakerState); 4] = [
    (BreakerState::Closed, BreakerState::Open),
    (BreakerState::Open, BreakerState::HalfOpen),
    (BreakerState::HalfOpen, BreakerState::Open),
    (BreakerState::HalfOpen, BreakerState::Closed),
];

/// The series of one provider, their labels resolved once.
pub(crate) struct ProviderMetrics {
    metrics: Arc<Metrics>,
    provider: ProviderName,
    attempts: Series<(Channel, Outcome), Counter>,
    latency: Histogram,
    pub(crate) short_circuited: Counter,
    breaker_state: Series<BreakerState, Gauge>,
    breaker_transitions: Series<(BreakerState, BreakerState), Counter>,
    settlements_set_aside: Gauge,
}

impl ProviderMetrics {
    /// Creates every series of a provider, at 0 and with a closed breaker.
    pub(crate) fn new(metrics: &Arc<Metrics>, provider: &ProviderName, channels: &[Channel]) -> Self {
        metrics.queue(&mut metrics.queues.lock(), provider);
        for reason in FailureReason::ALL {
            drop(metrics.dead_letters.get_or_create(&by_failure(provider, *reason)));
        }
        let attempts = channels.iter().flat_map(|channel| {
            let outcomes = Outcome::ALL.iter();
            outcomes.map(|outcome| ((*channel, *outcome), by_outcome(provider, *channel, *outcome)))
        });
        let states = BREAKER_STATES.map(|state| (state, by_state(provider, state)));
        let transitions = BREAKER_TRANSITIONS.map(|(from, to)| {
            let labels = vec![
                ("provider", provider.to_string()),
                ("from", from.as_str().to_owned()),
                ("to", to.as_str().to_owned()),
            ];
            ((from, to), labels)
        });
        let by_provider = by_provider(provider);
        let this = Self {
            attempts: Series::new(&metrics.attempts, attempts),
            latency: metrics.dispatch_latency.get_or_create_owned(&by_provider),
            short_circuited: metrics.short_circuited.get_or_create_owned(&by_provider),
            breaker_state: Series::new(&metrics.breaker_state, states),
            breaker_transitions: Series::new(&metrics.breaker_transitions, transitions),
            settlements_set_aside: metrics.settlements_set_aside.get_or_create_owned(&by_provider),
            metrics: Arc::clone(metrics),
            provider: provider.clone(),
        };
        this.set_breaker_state(BreakerState::Closed);
        this
    }

    /// For a provider that this node no longer has: an open breaker must not alert for ever. Counters stay.
    pub(crate) fn remove_breaker(&self) {
        for state in BREAKER_STATES {
            self.metrics
                .breaker_state
                .remove(&by_state(&self.provider, state));
        }
    }

    pub(crate) fn count_attempt(&self, channel: Channel, outcome: Outcome) {
        match self.attempts.get(&(channel, outcome)) {
            Some(counter) => drop(counter.inc()),
            // The provider served this channel when the message was accepted, and does not any more.
            None => self.metrics.count_attempt(&self.provider, channel, outcome),
        }
    }

    /// Attempts on record with this outcome, since the node started.
    pub(crate) fn attempts(&self, outcome: Outcome) -> u64 {
        let count = |channel: &Channel| {
            let labels = by_outcome(&self.provider, *channel, outcome);
            self.metrics
                .attempts
                .get(&labels)
                .map_or(0, |counter| counter.get())
        };
        Channel::ALL.iter().map(count).sum()
    }

    pub(crate) fn observe_latency(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    pub(crate) fn count_dead_letter(&self, reason: FailureReason) {
        self.metrics.count_dead_letter(&self.provider, reason);
    }

    pub(crate) fn set_settlements_set_aside(&self, settlements: usize) {
        self.settlements_set_aside
            .set(i64::try_from(settlements).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_transition(&self, transition: Transition) {
        self.breaker_transitions.count(&(transition.from, transition.to));
        self.set_breaker_state(transition.to);
    }

    /// One gauge per state, one of them 1: an alert needs no table of codes.
    fn set_breaker_state(&self, current: BreakerState) {
        for (state, gauge) in &self.breaker_state.0 {
            gauge.set(i64::from(*state == current));
        }
    }
}

fn by_state(provider: &ProviderName, state: BreakerState) -> Labels {
    vec![
        ("provider", provider.to_string()),
        ("state", state.as_str().to_owned()),
    ]
}
