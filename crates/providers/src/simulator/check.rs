//! Whether a configuration can be used.

use domain::ProviderName;
use thiserror::Error;

use super::settings::{FaultOverrides, PERCENT_MAX, ReceiptOverrides, ReceiptShares, SimulatorConfig};

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
    /// delay is too long, or when overrides name no simulator.
    pub fn check<'a>(
        &self,
        names: impl Iterator<Item = &'a ProviderName> + Clone,
    ) -> Result<(), ConfigError> {
        let (faults, receipts) = (self.faults, self.receipts);
        let all = FaultOverrides {
            timeout_pct: Some(faults.timeout_pct),
            error_pct: Some(faults.error_pct),
            ratelimit_pct: Some(faults.ratelimit_pct),
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
                &[faults.timeout_pct, faults.error_pct, faults.ratelimit_pct],
                "timeout_pct, error_pct and ratelimit_pct",
                own.has_shares().then_some(name),
                None,
            ));
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
    fn shares(&self) -> [(&'static str, Option<u8>); 6] {
        [
            ("timeout_pct", self.timeout_pct),
            ("error_pct", self.error_pct),
            ("ratelimit_pct", self.ratelimit_pct),
            ("receipts/delivered_pct", self.receipts.delivered_pct),
            ("receipts/undelivered_pct", self.receipts.undelivered_pct),
            ("receipts/duplicate_pct", self.receipts.duplicate_pct),
        ]
    }

    fn has_shares(&self) -> bool {
        let shares = [self.timeout_pct, self.error_pct, self.ratelimit_pct];
        shares.iter().any(Option::is_some)
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
    let delay_max = ReceiptShares::DELAY_MAX;
    let late = own.receipts.delay.filter(|delay| *delay > delay_max);
    let late = late.map(|_| {
        let milliseconds = format!("use an integer from 0 to {}", delay_max.as_millis());
        ("receipts/delay_ms", milliseconds)
    });
    let problem = |(field, detail)| ConfigProblem {
        provider: provider.map(str::to_owned),
        field: Some(field),
        detail,
    };
    beyond.chain(late).map(problem).collect()
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulator::{Faults, SimulatorSettings};

    fn shares([timeout_pct, error_pct, ratelimit_pct]: [u8; 3]) -> Faults {
        Faults {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed: None,
        }
    }

    fn own([timeout_pct, error_pct, ratelimit_pct]: [Option<u8>; 3]) -> FaultOverrides {
        FaultOverrides {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            ..FaultOverrides::default()
        }
    }

    fn problems(all: [u8; 3], providers: &[(&str, FaultOverrides)]) -> Vec<String> {
        let mut config = SimulatorConfig::from(shares(all));
        let providers = providers.iter().map(|(name, own)| ((*name).to_owned(), *own));
        config.providers.extend(providers);
        let settings = SimulatorSettings {
            config,
            ..SimulatorSettings::default()
        };
        let error = settings.check().err();
        error.map_or_else(Vec::new, |error| {
            error.problems.iter().map(ToString::to_string).collect()
        })
    }

    #[test]
    fn overrides_win_field_by_field() {
        let mut config = SimulatorConfig::from(Faults {
            seed: Some(1),
            ..shares([10, 20, 30])
        });
        let overrides = FaultOverrides {
            error_pct: Some(0),
            seed: Some(2),
            ..FaultOverrides::default()
        };
        config.providers.insert("email".to_owned(), overrides);
        let effective = |name: &str| config.effective(&name.parse().unwrap());
        assert_eq!(
            effective("sms-mms"),
            Faults {
                seed: Some(1),
                ..shares([10, 20, 30])
            }
        );
        assert_eq!(
            effective("email"),
            Faults {
                seed: Some(2),
                ..shares([10, 0, 30])
            }
        );
        assert_eq!(
            ["sms-mms", "email"].map(|name| effective(name).success_pct()),
            [40, 60]
        );
    }

    #[test]
    fn each_problem_names_its_place() {
        let sum = |sum| {
            format!(
                "timeout_pct, error_pct and ratelimit_pct add up to {sum} here: lower them to 100 or less together"
            )
        };
        let percentage = "error_pct: use an integer from 0 to 100".to_owned();
        let at_email = |detail: &str| format!("email: {detail}");
        let calm = own([Some(0), None, None]);
        let more = own([None, Some(31), None]);
        for (all, providers, expected) in [
            ([100, 0, 0], &[][..], vec![]),
            ([50, 30, 20], &[], vec![]),
            ([0, 200, 0], &[], vec![percentage.clone()]),
            (
                [0, 0, 0],
                &[("email", own([None, Some(101), None]))],
                vec![at_email(&percentage)],
            ),
            ([50, 30, 20], &[("email", more)], vec![at_email(&sum(101))]),
            // Only what is in effect for a simulator counts.
            ([90, 90, 0], &[], vec![sum(180)]),
            ([90, 90, 0], &[("email", calm)], vec![sum(180)]),
            (
                [90, 90, 0],
                &[("email", more)],
                vec![sum(180), at_email(&sum(121))],
            ),
            ([90, 90, 0], &[("email", calm), ("sms-mms", calm)], vec![]),
            (
                [0, 0, 0],
                &[("sms", calm)],
                vec!["sms: is no simulated provider: use sms-mms or email".to_owned()],
            ),
        ] {
            assert_eq!(problems(all, providers), expected, "{all:?} {providers:?}");
        }
    }

    #[test]
    fn receipts_are_overridden_and_checked_like_faults() {
        let settings = |receipts: ReceiptShares, own: ReceiptOverrides| {
            let mut settings = SimulatorSettings::default();
            settings.config.receipts = receipts;
            let own = FaultOverrides {
                receipts: own,
                ..FaultOverrides::default()
            };
            settings.config.providers.insert("email".to_owned(), own);
            settings
        };
        let all = ReceiptShares {
            delivered_pct: 60,
            undelivered_pct: 40,
            delay: Duration::from_secs(1),
            duplicate_pct: 100,
        };
        let own = ReceiptOverrides {
            undelivered_pct: Some(0),
            delay: Some(Duration::ZERO),
            ..ReceiptOverrides::default()
        };
        let good = settings(all, own);
        assert_eq!(good.check(), Ok(()));
        let effective = |name: &str| good.config.effective_receipts(&name.parse().unwrap());
        assert_eq!(effective("sms-mms"), all);
        let email = ReceiptShares {
            undelivered_pct: 0,
            delay: Duration::ZERO,
            ..all
        };
        assert_eq!(effective("email"), email);

        let more = ReceiptOverrides {
            undelivered_pct: Some(41),
            delay: Some(ReceiptShares::DELAY_MAX + Duration::from_millis(1)),
            duplicate_pct: Some(101),
            ..ReceiptOverrides::default()
        };
        let error = settings(all, more).check().unwrap_err().to_string();
        for problem in [
            "email: receipts: delivered_pct and undelivered_pct add up to 101 here: lower them to 100 or less together",
            "email: receipts/delay_ms: use an integer from 0 to 86400000",
            "email: receipts/duplicate_pct: use an integer from 0 to 100",
        ] {
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn the_number_of_problems_is_bounded() {
        let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let providers: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), FaultOverrides::default()))
            .collect();
        assert_eq!(problems([0, 0, 0], &providers).len(), ConfigError::PROBLEMS_MAX);
    }
}
