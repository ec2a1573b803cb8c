use domain::{Channel, Outcome, ProviderName};

use super::circuit::BreakerReport;
use crate::metrics::ProviderMetrics;

/// A provider, its breaker and its queue.
#[derive(Debug, Clone)]
pub struct ProviderReport {
    pub name: ProviderName,
    pub channels: Vec<Channel>,
    /// On this node.
    pub breaker: BreakerReport,
    /// On all nodes.
    pub queue: QueueReport,
    /// On this node since it started.
    pub counts: CountsReport,
}

/// The entries of a provider's queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueReport {
    /// Pending and not leased.
    pub waiting: u64,
    pub leased: u64,
    pub dead: u64,
    /// Whether counting stopped at [`store::QUEUE_COUNTED_MAX`] pending or dead ones.
    pub capped: bool,
}

/// Attempts by outcome.
#[derive(Debug, Clone, Copy)]
pub struct CountsReport {
    pub success: u64,
    pub rate_limited: u64,
    pub error: u64,
    pub rejected: u64,
    pub timeout: u64,
    pub unknown: u64,
}

impl CountsReport {
    pub(super) fn of(metrics: &ProviderMetrics) -> Self {
        let count = |outcome| metrics.attempts(outcome);
        Self {
            success: count(Outcome::Success),
            rate_limited: count(Outcome::RateLimited),
            error: count(Outcome::Error),
            rejected: count(Outcome::Rejected),
            timeout: count(Outcome::Timeout),
            unknown: count(Outcome::Unknown),
        }
    }
}
