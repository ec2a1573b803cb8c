//! Whether a configuration can be used.

use std::time::Duration;

use domain::ProviderName;
use thiserror::Error;

use super::settings::{
    FaultOverrides, Faults, PERCENT_MAX, ReceiptOverrides, ReceiptShares, SimulatorConfig,
};

/// A configuration that cannot be used, with its first [`ConfigError::PROBLEMS_MAX`] problems.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    pub problems: Vec<ConfigProblem>,
}

/// Where a configuration is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{}{}{detail}", prefix(.provider.as_deref()), prefix(*.field))]
pub struct ConfigProblem {
    /// `None` is the configuration of all simulators.
    pub provider: Option<String>,
    pub field: Option<&'static str>,
    pub detail: String,
}

fn prefix(name: Option<&str>) -> String {
    name.map(|name| format!("{name}: ")).unwrap_or_default()
}

impl SimulatorConfig {
    /// # Errors
    /// When a share is no percentage, when the shares of a simulator add up to more than all of its calls or receipts, when a
    /// latency or a delay is too long, when the longest latency is shorter than the shortest, or when overrides name no simulator.
    pub fn check<'a>(
        &self,
        names: impl Iterator<Item = &'a ProviderName> + Clone,
    ) -> Result<(), ConfigError> {
        let (faults, receipts) = (self.faults, self.receipts);
        let all = FaultOverrides {
            timeout_pct: Some(faults.timeout_pct),
            error_pct: Some(faults.error_pct),
            ratelimit_pct: Some(faults.ratelimit_pct),
            rejected_pct: Some(faults.rejected_pct),
            timeout_taken_pct: Some(faults.timeout_taken_pct),
            latency: Some(faults.latency),
            latency_max: faults.latency_max,
            seed: faults.seed,
            receipts: ReceiptOverrides {
                delivered_pct: Some(receipts.delivered_pct),
                undelivered_pct: Some(receipts.undelivered_pct),
                delay: Some(receipts.delay),
                duplicate_pct: Some(receipts.duplicate_pct),
            },
        };
        let mut problems = beyond_all(None, all);
        for (name, own) in &self.providers {
            if names.clone().any(|known| known.as_str() == name) {
                problems.extend(beyond_all(Some(name), *own));
            } else {
                let known: Vec<_> = names.clone().map(ProviderName::as_str).collect();
                let detail = format!("is no simulated provider: use {}", known.join(" or "));
                problems.push(ConfigProblem {
                    provider: Some(name.clone()),
                    field: None,
                    detail,
                });
            }
        }
        for name in names {
            let own = self.providers.get(name.as_str()).copied().unwrap_or_default();
            let (faults, receipts) = (self.effective(name), self.effective_receipts(name));
            problems.extend(beyond_together(
                &faults.failing(),
                "timeout_pct, error_pct, ratelimit_pct and rejected_pct",
                own.has_shares().then_some(name),
                None,
            ));
            problems.extend(latency_reversed(&faults, own.has_latency().then_some(name)));
            problems.extend(beyond_together(
                &[receipts.delivered_pct, receipts.undelivered_pct],
                "delivered_pct and undelivered_pct",
                own.receipts.has_shares().then_some(name),
                Some("receipts"),
            ));
        }
        problems.sort();
        problems.dedup();
        problems.truncate(ConfigError::PROBLEMS_MAX);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError { problems })
        }
    }
}

impl FaultOverrides {
    /// Shares of calls, and then those of receipts.
    fn shares(&self) -> [(&'static str, Option<u8>); 8] {
        [
            ("timeout_pct", self.timeout_pct),
            ("error_pct", self.error_pct),
            ("ratelimit_pct", self.ratelimit_pct),
            ("rejected_pct", self.rejected_pct),
            ("timeout_taken_pct", self.timeout_taken_pct),
            ("receipts/delivered_pct", self.receipts.delivered_pct),
            ("receipts/undelivered_pct", self.receipts.undelivered_pct),
            ("receipts/duplicate_pct", self.receipts.duplicate_pct),
        ]
    }

    fn durations(&self) -> [(&'static str, Option<Duration>, Duration); 3] {
        [
            ("latency_ms", self.latency, Faults::LATENCY_MAX),
            ("latency_max_ms", self.latency_max, Faults::LATENCY_MAX),
            ("receipts/delay_ms", self.receipts.delay, ReceiptShares::DELAY_MAX),
        ]
    }

    /// Whether some of the shares that add up are its own.
    fn has_shares(&self) -> bool {
        let shares = [
            self.timeout_pct,
            self.error_pct,
            self.ratelimit_pct,
            self.rejected_pct,
        ];
        shares.iter().any(Option::is_some)
    }

    fn has_latency(&self) -> bool {
        self.latency.is_some() || self.latency_max.is_some()
    }
}

impl ReceiptOverrides {
    fn has_shares(&self) -> bool {
        self.delivered_pct.is_some() || self.undelivered_pct.is_some()
    }
}

impl ConfigError {
    pub const PROBLEMS_MAX: usize = 20;
}

fn beyond_all(provider: Option<&str>, own: FaultOverrides) -> Vec<ConfigProblem> {
    let shares = own.shares().into_iter();
    let beyond = shares.filter(|(_, share)| share.is_some_and(|share| share > PERCENT_MAX));
    let percentage = format!("use an integer from 0 to {PERCENT_MAX}");
    let beyond = beyond.map(|(field, _)| (field, percentage.clone()));
    let durations = own.durations().into_iter();
    let late = durations.filter(|(_, duration, max)| duration.is_some_and(|duration| duration > *max));
    let late = late.map(|(field, _, max)| (field, format!("use an integer from 0 to {}", max.as_millis())));
    let problem = |(field, detail)| ConfigProblem {
        provider: provider.map(str::to_owned),
        field: Some(field),
        detail,
    };
    beyond.chain(late).map(problem).collect()
}

/// The problem of a range that ends before it begins. Without a latency of its own, a simulator has the one from the
/// configuration for all.
fn latency_reversed(faults: &Faults, provider: Option<&ProviderName>) -> Option<ConfigProblem> {
    let (least, most) = faults.latency_range();
    (most < least).then(|| ConfigProblem {
        provider: provider.map(ToString::to_string),
        field: Some("latency_max_ms"),
        detail: format!("use latency_ms, which is {} here, or more", least.as_millis()),
    })
}

/// The problem of shares that are percentages each, but more than everything together. Without shares of its own, a simulator
/// has the fault from the configuration for all.
fn beyond_together(
    shares: &[u8],
    names: &str,
    provider: Option<&ProviderName>,
    field: Option<&'static str>,
) -> Option<ConfigProblem> {
    let sum: u16 = shares.iter().copied().map(u16::from).sum();
    let each = shares.iter().all(|share| *share <= PERCENT_MAX);
    (each && sum > PERCENT_MAX.into()).then(|| ConfigProblem {
        provider: provider.map(ToString::to_string),
        field,
        detail: format!("{names} add up to {sum} here: lower them to {PERCENT_MAX} or less together"),
    })
}

#[cfg(test)]
mod tests;
