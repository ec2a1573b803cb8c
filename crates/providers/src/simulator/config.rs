//! How badly the simulated providers behave: global shares, and overrides per provider, field by field.

mod json;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Simulated;

/// The whole configuration, as it was set. In JSON it is what `PUT /api/provider/mock/config` takes and `GET`
/// shows; the latter adds the values that are in effect.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct SimulatorConfig {
    /// Of a hundred calls, how many hang until the caller gives up.
    pub timeout_pct: u8,
    /// Of a hundred calls, how many fail.
    pub error_pct: u8,
    /// Of a hundred calls, how many are told to slow down.
    pub ratelimit_pct: u8,
    /// What makes the sequences of outcomes repeatable; without one they differ from run to run.
    pub seed: Option<u64>,
    /// What differs for single providers.
    pub providers: BTreeMap<Simulated, Overrides>,
}

/// What differs for one provider; what is not set here is as for all.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Overrides {
    /// Instead of the global `timeout_pct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_pct: Option<u8>,
    /// Instead of the global `error_pct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_pct: Option<u8>,
    /// Instead of the global `ratelimit_pct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratelimit_pct: Option<u8>,
    /// Instead of the global `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What is in effect for one provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Effective {
    /// Of a hundred calls, how many hang until the caller gives up.
    pub timeout_pct: u8,
    /// Of a hundred calls, how many fail.
    pub error_pct: u8,
    /// Of a hundred calls, how many are told to slow down.
    pub ratelimit_pct: u8,
    /// The rest: how many succeed.
    pub success_pct: u8,
    /// The seed of its sequence of outcomes, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A configuration that cannot be used; everything that is wrong with it, up to [`ConfigError::PROBLEMS_MAX`]
/// problems.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the simulator cannot be configured so: {}", listed(.problems))]
pub struct ConfigError {
    /// Where it is wrong (a JSON pointer, RFC 6901), and what to do about it.
    pub problems: Vec<(String, String)>,
}

impl ConfigError {
    /// How many problems are told at once.
    pub const PROBLEMS_MAX: usize = 20;
}

impl SimulatorConfig {
    /// What is in effect for a provider: its overrides, field by field, and else what is set for all.
    #[must_use]
    pub fn effective(&self, provider: Simulated) -> Effective {
        let own = self.providers.get(&provider).copied().unwrap_or_default();
        let [timeout_pct, error_pct, ratelimit_pct] = [
            own.timeout_pct.unwrap_or(self.timeout_pct),
            own.error_pct.unwrap_or(self.error_pct),
            own.ratelimit_pct.unwrap_or(self.ratelimit_pct),
        ];
        Effective {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            success_pct: [timeout_pct, error_pct, ratelimit_pct]
                .into_iter()
                .fold(PERCENT_MAX, u8::saturating_sub),
            seed: own.seed.or(self.seed),
        }
    }

    /// # Errors
    /// When a share is no percentage, or those in effect for a provider add up to more than all of its calls.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.find_problems(&mut problems);
        found(problems)
    }

    fn find_problems(&self, problems: &mut Vec<(String, String)>) {
        let all = [self.timeout_pct, self.error_pct, self.ratelimit_pct].map(Some);
        find_no_percentages("", all, problems);
        for provider in Simulated::ALL {
            let own = self.providers.get(&provider).copied().unwrap_or_default();
            let own = [own.timeout_pct, own.error_pct, own.ratelimit_pct];
            let pointer = format!("/providers/{}", provider.as_str());
            find_no_percentages(&pointer, own, problems);
            self.find_excess(provider, &pointer, own, problems);
        }
    }

    fn find_excess(
        &self,
        provider: Simulated,
        pointer: &str,
        own: [Option<u8>; 3],
        problems: &mut Vec<(String, String)>,
    ) {
        let effective = self.effective(provider);
        let shares = [
            effective.timeout_pct,
            effective.error_pct,
            effective.ratelimit_pct,
        ];
        // One share beyond all calls is a problem told already.
        if shares.into_iter().any(|share| share > PERCENT_MAX) {
            return;
        }
        let sum: u16 = shares.into_iter().map(u16::from).sum();
        if sum > u16::from(PERCENT_MAX) {
            // What a provider did not override is wrong for all of them, and told once.
            let pointer = if own == [None; 3] { "" } else { pointer };
            let detail = format!(
                "timeout_pct, error_pct and ratelimit_pct add up to {sum} here: lower them to {PERCENT_MAX} \
                 or less together"
            );
            let problem = (pointer.to_owned(), detail);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
}

const PERCENT_MAX: u8 = 100;

/// The names of the shares, in the order in which they are drawn.
const SHARES: [&str; 3] = ["timeout_pct", "error_pct", "ratelimit_pct"];

fn find_no_percentages(pointer: &str, shares: [Option<u8>; 3], problems: &mut Vec<(String, String)>) {
    for (name, share) in SHARES.into_iter().zip(shares) {
        if share.is_some_and(|share| share > PERCENT_MAX) {
            problems.push((format!("{pointer}/{name}"), no_percentage()));
        }
    }
}

fn no_percentage() -> String {
    format!("use an integer from 0 to {PERCENT_MAX}")
}

fn found(mut problems: Vec<(String, String)>) -> Result<(), ConfigError> {
    problems.truncate(ConfigError::PROBLEMS_MAX);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { problems })
    }
}

fn listed(problems: &[(String, String)]) -> String {
    let told = |(pointer, detail): &(String, String)| match pointer.as_str() {
        "" => detail.clone(),
        _ => format!("{pointer}: {detail}"),
    };
    problems.iter().map(told).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shares: [u8; 3], seed: Option<u64>) -> SimulatorConfig {
        let [timeout_pct, error_pct, ratelimit_pct] = shares;
        let providers = BTreeMap::new();
        SimulatorConfig {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed,
            providers,
        }
    }

    #[test]
    fn overrides_win_field_by_field() {
        let mut config = config([10, 20, 30], Some(1));
        let overrides = Overrides {
            error_pct: Some(0),
            seed: Some(2),
            ..Overrides::default()
        };
        config.providers.insert(Simulated::Email, overrides);
        let shown = |provider| {
            let effective = config.effective(provider);
            let Effective {
                timeout_pct,
                error_pct,
                ratelimit_pct,
                success_pct,
                seed,
            } = effective;
            ([timeout_pct, error_pct, ratelimit_pct, success_pct], seed)
        };
        assert_eq!(shown(Simulated::SmsMms), ([10, 20, 30, 40], Some(1)));
        assert_eq!(shown(Simulated::Email), ([10, 0, 30, 60], Some(2)));
    }

    #[test]
    fn a_seed_of_one_provider_is_not_the_others() {
        let mut config = config([0, 0, 0], None);
        let overrides = Overrides {
            seed: Some(2),
            ..Overrides::default()
        };
        config.providers.insert(Simulated::SmsMms, overrides);
        assert_eq!(config.effective(Simulated::SmsMms).seed, Some(2));
        assert_eq!(config.effective(Simulated::Email).seed, None);
    }

    #[test]
    fn what_code_puts_together_is_checked_too() {
        assert_eq!(config([100, 0, 0], None).check(), Ok(()));
        let error = config([200, 0, 0], None).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the simulator cannot be configured so: /timeout_pct: use an integer from 0 to 100"
        );
        let error = config([60, 40, 1], None).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the simulator cannot be configured so: timeout_pct, error_pct and ratelimit_pct add up to 101 \
             here: lower them to 100 or less together"
        );
    }
}
