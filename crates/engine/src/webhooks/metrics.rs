use std::time::Duration;

use domain::{DisabledReason, WebhookEndpointId};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::metrics::{Labels, Seconds, counters, gauges, seconds};

/// How a call to an endpoint ended.
#[derive(Clone, Copy)]
pub(super) enum CallEnd {
    Delivered,
    /// An answer other than 2xx.
    Refused,
    /// No answer.
    Unanswered,
}

const CALL_ENDS: [&str; 3] = ["delivered", "refused", "unanswered"];

/// The series of webhooks. Those of an endpoint are there while a node delivers to it.
pub(crate) struct WebhookMetrics {
    calls: Family<Labels, Counter>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    pending: Family<Labels, Gauge>,
    lag: Family<Labels, Seconds>,
    disabled: Family<Labels, Counter>,
}

/// The series of one endpoint, their labels resolved once.
pub(super) struct EndpointMetrics {
    calls: [Counter; 3],
    latency: Histogram,
    pub(super) pending: Gauge,
    pub(super) lag: Seconds,
}

impl WebhookMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let latency: Family<Labels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds);
        registry.register_with_unit(
            "webhook_call",
            "Time of calls to webhook endpoints",
            Unit::Seconds,
            Family::clone(&latency),
        );
        let lag = Family::default();
        registry.register_with_unit(
            "webhook_lag",
            "Age of the oldest event that a webhook endpoint has not taken",
            Unit::Seconds,
            Family::clone(&lag),
        );
        let metrics = Self {
            calls: counters(
                registry,
                "webhook_calls",
                "Calls to webhook endpoints by their result",
            ),
            latency,
            pending: gauges(
                registry,
                "webhook_pending",
                "Events that a webhook endpoint did not take at first, and those behind them",
            ),
            lag,
            disabled: counters(
                registry,
                "webhook_endpoints_disabled",
                "Webhook endpoints disabled because they are gone or nothing got through",
            ),
        };
        for reason in DisabledReason::ALL {
            drop(metrics.disabled.get_or_create(&by_reason(*reason)));
        }
        metrics
    }

    pub(super) fn of(&self, id: WebhookEndpointId) -> EndpointMetrics {
        let endpoint = by_endpoint(id);
        EndpointMetrics {
            calls: CALL_ENDS.map(|end| self.calls.get_or_create_owned(&by_end(id, end))),
            latency: self.latency.get_or_create_owned(&endpoint),
            pending: self.pending.get_or_create_owned(&endpoint),
            lag: self.lag.get_or_create_owned(&endpoint),
        }
    }

    /// Another node delivers now, or none. Counters stay.
    pub(super) fn remove_gauges(&self, id: WebhookEndpointId) {
        self.pending.remove(&by_endpoint(id));
        self.lag.remove(&by_endpoint(id));
    }

    /// The endpoint is deleted.
    pub(super) fn remove(&self, id: WebhookEndpointId) {
        self.remove_gauges(id);
        self.latency.remove(&by_endpoint(id));
        for end in CALL_ENDS {
            self.calls.remove(&by_end(id, end));
        }
    }

    pub(super) fn count_disabled(&self, reason: DisabledReason) {
        self.disabled.get_or_create(&by_reason(reason)).inc();
    }
}

impl EndpointMetrics {
    pub(super) fn count_call(&self, end: CallEnd, latency: Duration) {
        self.calls[end as usize].inc();
        self.latency.observe(latency.as_secs_f64());
    }
}

fn by_endpoint(id: WebhookEndpointId) -> Labels {
    vec![("endpoint", id.to_string())]
}

fn by_end(id: WebhookEndpointId, end: &str) -> Labels {
    vec![("endpoint", id.to_string()), ("result", end.to_owned())]
}

fn by_reason(reason: DisabledReason) -> Labels {
    vec![("reason", reason.to_string())]
}
