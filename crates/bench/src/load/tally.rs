use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Latencies are kept in microseconds up to this, with three significant digits.
const LATENCY_MAX_MICROS: u64 = 120_000_000;

/// The result of a load.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Requests answered with `202`.
    pub(crate) accepted: u64,
    /// Requests answered with another status, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Requests whose connection broke; they may have been accepted.
    pub(crate) unanswered: u64,
    /// The first of these errors.
    pub(crate) first_error: Option<String>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    latencies: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            accepted: 0,
            refused: BTreeMap::new(),
            unanswered: 0,
            first_error: None,
            took: Duration::ZERO,
            latencies: Histogram::new_with_max(LATENCY_MAX_MICROS, 3).expect("the bounds are valid"),
        }
    }

    pub(crate) fn answered(&mut self, status: u16, latency: Duration) {
        if status == 202 {
            self.accepted += 1;
        } else {
            *self.refused.entry(status).or_default() += 1;
        }
        self.latencies
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn broken(&mut self, error: String) {
        self.unanswered += 1;
        self.first_error.get_or_insert(error);
    }

    /// Accepted messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency that this share of requests did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1_000.0
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "accepted": self.accepted,
            "refused": self.refused.iter().map(|(status, count)| (status.to_string(), *count)).collect::<BTreeMap<_, _>>(),
            "unanswered": self.unanswered,
            "seconds": self.took.as_secs_f64(),
            "accepted_per_second": self.rate(),
            "latency_ms": {
                "p50": self.quantile_ms(0.5),
                "p95": self.quantile_ms(0.95),
                "p99": self.quantile_ms(0.99),
                "p999": self.quantile_ms(0.999),
                "max": self.quantile_ms(1.0),
            },
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "{} accepted in {:.1} s = {:.0}/s; latency p50 {:.2} ms, p95 {:.2}, p99 {:.2}, max {:.2}",
            self.accepted,
            self.took.as_secs_f64(),
            self.rate(),
            self.quantile_ms(0.5),
            self.quantile_ms(0.95),
            self.quantile_ms(0.99),
            self.quantile_ms(1.0),
        );
        for (status, count) in &self.refused {
            line.push_str(&format!("; {count} x {status}"));
        }
        if let Some(error) = &self.first_error {
            line.push_str(&format!("; {} unanswered ({error})", self.unanswered));
        }
        line
    }
}
