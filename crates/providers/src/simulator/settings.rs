//! Which simulators there are, and how badly they behave: shares for all of them, overridden for single ones field
//! by field.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use domain::{Channel, ProviderName};
use thiserror::Error;

/// The most a share can be.
const PERCENT_MAX: u8 = 100;

/// What simulators start with.
#[derive(Clone, Debug)]
pub struct SimulatorSettings {
    pub instances: Vec<SimulatorInstance>,
    /// Holds until it is replaced.
    pub config: SimulatorConfig,
    /// A file that gets one line for each call.
    pub ledger: Option<PathBuf>,
}

/// One simulator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulatorInstance {
    pub name: ProviderName,
    pub channels: Vec<Channel>,
    /// How long a response takes.
    pub latency: Duration,
    /// The hint of a response that asks to slow down.
    pub retry_after: Duration,
}

/// How simulators fail.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SimulatorConfig {
    /// Of all simulators.
    pub faults: Faults,
    /// What differs, by the name of the simulator.
    pub providers: BTreeMap<String, FaultOverrides>,
}

/// Of a hundred calls, how many fail in which way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Hang until the caller gives up.
    pub timeout_pct: u8,
    pub error_pct: u8,
    /// Are asked to slow down.
    pub ratelimit_pct: u8,
    /// Makes the sequence of outcomes repeatable; without one, it differs from run to run.
    pub seed: Option<u64>,
}

/// What differs for one simulator.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultOverrides {
    pub timeout_pct: Option<u8>,
    pub error_pct: Option<u8>,
    pub ratelimit_pct: Option<u8>,
    pub seed: Option<u64>,
}

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

impl Default for SimulatorSettings {
    /// One simulator for texts, since what hits SMS at a real carrier hits MMS too, and one for emails.
    fn default() -> Self {
        let instance = |name: &str, channels: &[Channel]| SimulatorInstance {
            name: name.parse().expect("a provider name"),
            channels: channels.to_vec(),
            latency: Duration::ZERO,
            retry_after: Duration::from_secs(1),
        };
        Self {
            instances: vec![
                instance("sms-mms", &[Channel::Sms, Channel::Mms]),
                instance("email", &[Channel::Email]),
            ],
            config: SimulatorConfig::default(),
            ledger: None,
        }
    }
}

impl SimulatorSettings {
    /// # Errors
    /// As [`SimulatorConfig::check`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.config
            .check(self.instances.iter().map(|instance| &instance.name))
    }
}

impl Faults {
    /// What is left.
    #[must_use]
    pub fn success_pct(&self) -> u8 {
        let failing = [self.timeout_pct, self.error_pct, self.ratelimit_pct];
        failing.into_iter().fold(PERCENT_MAX, u8::saturating_sub)
    }
}

impl From<Faults> for SimulatorConfig {
    fn from(faults: Faults) -> Self {
        Self {
            faults,
            providers: BTreeMap::new(),
        }
    }
}

impl SimulatorConfig {
    /// What holds for one simulator.
    #[must_use]
    pub fn effective(&self, provider: &ProviderName) -> Faults {
        let (all, own) = (self.faults, self.providers.get(provider.as_str()));
        let own = own.copied().unwrap_or_default();
        Faults {
            timeout_pct: own.timeout_pct.unwrap_or(all.timeout_pct),
            error_pct: own.error_pct.unwrap_or(all.error_pct),
            ratelimit_pct: own.ratelimit_pct.unwrap_or(all.ratelimit_pct),
            seed: own.seed.or(all.seed),
        }
    }

    /// # Errors
    /// When a share is no percentage, when the shares of a simulator add up to more than all of its calls, or when
    /// overrides name no simulator.
    pub fn check<'a>(
        &self,
        names: impl Iterator<Item = &'a ProviderName> + Clone,
    ) -> Result<(), ConfigError> {
        let Faults {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed,
        } = self.faults;
        let all = FaultOverrides {
            timeout_pct: Some(timeout_pct),
            error_pct: Some(error_pct),
            ratelimit_pct: Some(ratelimit_pct),
            seed,
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
            let faults = self.effective(name);
            let shares = [faults.timeout_pct, faults.error_pct, faults.ratelimit_pct].map(u16::from);
            let sum: u16 = shares.iter().sum();
            // A single share that is too high was found above.
            if sum > PERCENT_MAX.into() && shares.iter().all(|share| *share <= PERCENT_MAX.into()) {
                // Without overrides, the fault stands in the configuration for all.
                let own = self
                    .providers
                    .get(name.as_str())
                    .is_some_and(FaultOverrides::has_shares);
                problems.push(ConfigProblem {
                    provider: own.then(|| name.to_string()),
                    field: None,
                    detail: format!(
                        "timeout_pct, error_pct and ratelimit_pct add up to {sum} here: lower them to \
                         {PERCENT_MAX} or less together"
                    ),
                });
            }
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
    fn shares(&self) -> [(&'static str, Option<u8>); 3] {
        [
            ("timeout_pct", self.timeout_pct),
            ("error_pct", self.error_pct),
            ("ratelimit_pct", self.ratelimit_pct),
        ]
    }

    fn has_shares(&self) -> bool {
        self.shares().iter().any(|(_, share)| share.is_some())
    }
}

impl ConfigError {
    pub const PROBLEMS_MAX: usize = 20;
}

fn beyond_all(provider: Option<&str>, faults: FaultOverrides) -> Vec<ConfigProblem> {
    let beyond = faults
        .shares()
        .into_iter()
        .filter(|(_, share)| share.is_some_and(|share| share > PERCENT_MAX));
    beyond
        .map(|(field, _)| ConfigProblem {
            provider: provider.map(str::to_owned),
            field: Some(field),
            detail: format!("use an integer from 0 to {PERCENT_MAX}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            seed: None,
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
    fn the_number_of_problems_is_bounded() {
        let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let providers: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), FaultOverrides::default()))
            .collect();
        assert_eq!(problems([0, 0, 0], &providers).len(), ConfigError::PROBLEMS_MAX);
    }
}
