use std::{sync::Arc, time::Duration};

use domain::{Entropy, ProviderName, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use resilience::{
    Breaker,
    breaker::{BreakerSettingsError, BreakerState, Capacity, Permit, Transition, Verdict},
};

use crate::{LaneSettings, Node, metrics::ProviderMetrics};

/// The breaker of one provider, driven by the node's clock. It counts and logs the transitions.
pub(crate) struct Circuit {
    breaker: Mutex<Breaker>,
    /// Else no call asks the breaker, which stays closed.
    is_asked: bool,
    provider: ProviderName,
    node: Arc<Node>,
    metrics: Arc<ProviderMetrics>,
    jitter: Entropy,
}

/// The right to make one call. A call that is dropped or panics gives it back.
pub(super) struct Permitted<'a> {
    circuit: &'a Circuit,
    /// `None` without a breaker, and once it is given back.
    permit: Option<Permit>,
}

#[derive(Debug, Clone, Copy)]
pub struct BreakerReport {
    pub state: BreakerState,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// `None` if the state never changed.
    pub last_transition_at: Option<Timestamp>,
    /// Until half-open; zero unless open.
    pub cooldown_remaining: Duration,
}

impl Circuit {
    pub(super) fn new(
        settings: &LaneSettings,
        provider: ProviderName,
        node: Arc<Node>,
        metrics: Arc<ProviderMetrics>,
        jitter: Entropy,
    ) -> Result<Self, BreakerSettingsError> {
        let breaker = Mutex::new(Breaker::new(settings.breaker)?);
        Ok(Self {
            breaker,
            is_asked: settings.has_breaker,
            provider,
            node,
            metrics,
            jitter,
        })
    }

    /// `None` when no call may start now.
    pub(super) fn admit(&self) -> Option<Permitted<'_>> {
        if !self.is_asked {
            return Some(Permitted {
                circuit: self,
                permit: None,
            });
        }
        let (permit, transition) = self
            .breaker()
            .admit(self.node.clock.monotonic(), self.jitter.next_u64());
        self.note(transition);
        permit.map(|permit| Permitted {
            circuit: self,
            permit: Some(permit),
        })
    }

    /// Makes the transition that is due by now.
    pub(super) fn tick(&self) {
        let transition = self
            .breaker()
            .tick(self.node.clock.monotonic(), self.jitter.next_u64());
        self.note(transition);
    }

    pub(super) fn capacity(&self) -> Capacity {
        self.breaker().capacity(self.node.clock.monotonic())
    }

    /// Until the next transition that is due to time alone; `None` while closed.
    pub(super) fn next_change_in(&self) -> Option<Duration> {
        self.breaker().next_change_in(self.node.clock.monotonic())
    }

    /// How long no call may start; zero while half-open, `None` while closed.
    pub(super) fn blocked_for(&self) -> Option<Duration> {
        let snapshot = self.breaker().snapshot(self.node.clock.monotonic());
        (snapshot.state != BreakerState::Closed).then_some(snapshot.cooldown_remaining)
    }

    pub(super) fn report(&self, now: Timestamp) -> BreakerReport {
        let monotonic = self.node.clock.monotonic();
        let snapshot = self.breaker().snapshot(monotonic);
        let ago = |at: Duration| i64::try_from(monotonic.saturating_sub(at).as_micros()).unwrap_or(i64::MAX);
        BreakerReport {
            state: snapshot.state,
            consecutive_failures: snapshot.consecutive_failures,
            last_transition_at: snapshot
                .last_transition_at
                .and_then(|at| Timestamp::from_micros(now.as_micros().saturating_sub(ago(at)))),
            cooldown_remaining: snapshot.cooldown_remaining,
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock()
    }

    fn note(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        self.metrics.count_transition(transition);
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        if transition.to == BreakerState::Open {
            tracing::warn!(provider = %self.provider, from, to, "the breaker opened: messages wait");
        } else {
            tracing::info!(provider = %self.provider, from, to, "the breaker changed its state");
        }
    }
}

impl Permitted<'_> {
    /// Whether this call probes a half-open breaker. Probes are recorded, but not counted against the message.
    pub(super) fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_probe)
    }

    pub(super) fn record(mut self, verdict: Verdict) {
        if let Some(permit) = self.permit.take() {
            let circuit = self.circuit;
            let (now, random) = (circuit.node.clock.monotonic(), circuit.jitter.next_u64());
            let transition = circuit.breaker().record(permit, verdict, now, random);
            circuit.note(transition);
        }
    }
}

impl Drop for Permitted<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.circuit.breaker().cancel(permit);
        }
    }
}
