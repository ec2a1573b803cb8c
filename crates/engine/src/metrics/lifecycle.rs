//! Receipts, cancellations, waits and the event log.

use std::time::Duration;

use domain::ReceiptStatus;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use store::Canceled;

use super::{Metrics, Series, counter, counters, seconds};

/// The words for what happened to a receipt when it came.
const APPLIED: [(bool, &str); 2] = [(true, "applied"), (false, "kept")];
const WAIT_RESULTS: [(bool, &str); 2] = [(true, "met"), (false, "timed_out")];

pub(super) struct LifecycleMetrics {
    receipts: Series<(ReceiptStatus, bool), Counter>,
    receipts_matched_later: Counter,
    receipts_unmatched: Gauge,
    canceled: Counter,
    waits: Series<bool, Counter>,
    waits_under_way: Gauge,
    event_lag: Histogram,
}

impl LifecycleMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let receipts = counters(
            registry,
            "receipts",
            "Receipts stored, by what happened to them at once",
        );
        let receipts = ReceiptStatus::ALL.iter().flat_map(|status| {
            APPLIED.map(|(applied, result)| {
                let labels = vec![("status", status.to_string()), ("result", result.to_owned())];
                ((*status, applied), receipts.get_or_create_owned(&labels))
            })
        });
        let receipts = Series(receipts.collect());
        let waits = counters(registry, "waits", "Requests that waited, by their result");
        let waits = Series::new(
            &waits,
            WAIT_RESULTS.map(|(met, result)| (met, vec![("result", result.to_owned())])),
        );
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let event_lag = seconds();
        let help = "Time from a commit until this node read its events, by the two clocks; only while something follows the log";
        registry.register_with_unit("event_lag", help, Unit::Seconds, event_lag.clone());
        Self {
            receipts,
            receipts_matched_later: counter(
                registry,
                "receipts_matched_later",
                "Receipts applied by housekeeping, after a crash or a race",
            ),
            receipts_unmatched: gauge(
                registry,
                "receipts_unmatched",
                "Receipts that match no message, as last counted, up to 10000",
            ),
            canceled: counter(registry, "messages_canceled", "Messages canceled"),
            waits,
            waits_under_way: gauge(registry, "waits_under_way", "Requests that wait for a message"),
            event_lag,
        }
    }
}

/// A wait under way, counted until it is dropped.
pub(crate) struct WaitUnderWay<'a>(&'a Gauge);

impl Drop for WaitUnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn count_receipt(&self, status: ReceiptStatus, applied: bool) {
        self.lifecycle.receipts.count(&(status, applied));
    }

    pub(crate) fn count_receipts_matched_later(&self, receipts: u64) {
        self.lifecycle.receipts_matched_later.inc_by(receipts);
    }

    pub(crate) fn set_receipts_unmatched(&self, receipts: u64) {
        let receipts = i64::try_from(receipts).unwrap_or(i64::MAX);
        self.lifecycle.receipts_unmatched.set(receipts);
    }

    pub(crate) fn count_cancel(&self, canceled: Canceled) {
        if canceled == (Canceled::Canceled { now: true }) {
            self.lifecycle.canceled.inc();
        }
    }

    pub(crate) fn wait_began(&self) -> WaitUnderWay<'_> {
        self.lifecycle.waits_under_way.inc();
        WaitUnderWay(&self.lifecycle.waits_under_way)
    }

    pub(crate) fn count_wait(&self, met: bool) {
        self.lifecycle.waits.count(&met);
    }

    pub(crate) fn observe_event_lag(&self, lag: Duration) {
        self.lifecycle.event_lag.observe(lag.as_secs_f64());
    }
}
