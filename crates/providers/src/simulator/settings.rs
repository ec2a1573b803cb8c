//! Which simulators there are, and how badly they behave: shares for all of them, overridden for single ones field
//! by field.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use domain::{Channel, ProviderName};

use super::check::ConfigError;

/// The most a share can be.
pub(super) const PERCENT_MAX: u8 = 100;

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
    /// The hint of a response that asks to slow down.
    pub retry_after: Duration,
}

/// How simulators fail, and what they report later.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SimulatorConfig {
    /// Of all simulators.
    pub faults: Faults,
    /// Of all simulators.
    pub receipts: ReceiptShares,
    /// What differs, by the name of the simulator.
    pub providers: BTreeMap<String, FaultOverrides>,
}

/// Of a hundred calls, how many fail in which way, and how long the others take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Hang until the caller gives up.
    pub timeout_pct: u8,
    pub error_pct: u8,
    /// Are asked to slow down.
    pub ratelimit_pct: u8,
    /// Are refused for good.
    pub rejected_pct: u8,
    /// Of a hundred timeouts, in how many the simulator takes the message all the same.
    pub timeout_taken_pct: u8,
    /// How long a response takes: at least this, if there is a `latency_max`. At most [`Faults::LATENCY_MAX`].
    pub latency: Duration,
    /// How long a response takes at most; `None` if it always takes `latency`. Not less than that.
    pub latency_max: Option<Duration>,
    /// Makes the sequence of outcomes repeatable; without one, it differs from run to run.
    pub seed: Option<u64>,
}

/// Of a hundred messages that a simulator took, how many get which receipt. By default, none get one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReceiptShares {
    pub delivered_pct: u8,
    pub undelivered_pct: u8,
    /// How long after the call a receipt comes. At most [`ReceiptShares::DELAY_MAX`].
    pub delay: Duration,
    /// Of a hundred receipts, how many come twice.
    pub duplicate_pct: u8,
}

/// What differs for one simulator.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultOverrides {
    pub timeout_pct: Option<u8>,
    pub error_pct: Option<u8>,
    pub ratelimit_pct: Option<u8>,
    pub rejected_pct: Option<u8>,
    pub timeout_taken_pct: Option<u8>,
    pub latency: Option<Duration>,
    pub latency_max: Option<Duration>,
    pub seed: Option<u64>,
    pub receipts: ReceiptOverrides,
}

/// What differs for the receipts of one simulator.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReceiptOverrides {
    pub delivered_pct: Option<u8>,
    pub undelivered_pct: Option<u8>,
    pub delay: Option<Duration>,
    pub duplicate_pct: Option<u8>,
}

impl Default for SimulatorSettings {
    /// One simulator for texts, since what hits SMS at a real carrier hits MMS too, and one for emails.
    fn default() -> Self {
        let instance = |name: &str, channels: &[Channel]| SimulatorInstance {
            name: name.parse().expect("a provider name"),
            channels: channels.to_vec(),
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
    pub const LATENCY_MAX: Duration = Duration::from_secs(3_600);

    /// What is left.
    #[must_use]
    pub fn success_pct(&self) -> u8 {
        self.failing().into_iter().fold(PERCENT_MAX, u8::saturating_sub)
    }

    /// The shortest and the longest time that a response takes.
    #[must_use]
    pub fn latency_range(&self) -> (Duration, Duration) {
        (self.latency, self.latency_max.unwrap_or(self.latency))
    }

    /// The shares that add up to all calls at most.
    pub(super) fn failing(&self) -> [u8; 4] {
        [
            self.timeout_pct,
            self.error_pct,
            self.ratelimit_pct,
            self.rejected_pct,
        ]
    }
}

impl From<Faults> for SimulatorConfig {
    fn from(faults: Faults) -> Self {
        Self {
            faults,
            ..Self::default()
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
            rejected_pct: own.rejected_pct.unwrap_or(all.rejected_pct),
            timeout_taken_pct: own.timeout_taken_pct.unwrap_or(all.timeout_taken_pct),
            latency: own.latency.unwrap_or(all.latency),
            latency_max: own.latency_max.or(all.latency_max),
            seed: own.seed.or(all.seed),
        }
    }

    /// The receipts of one simulator.
    #[must_use]
    pub fn effective_receipts(&self, provider: &ProviderName) -> ReceiptShares {
        let (all, own) = (self.receipts, self.providers.get(provider.as_str()));
        let own = own.copied().unwrap_or_default().receipts;
        ReceiptShares {
            delivered_pct: own.delivered_pct.unwrap_or(all.delivered_pct),
            undelivered_pct: own.undelivered_pct.unwrap_or(all.undelivered_pct),
            delay: own.delay.unwrap_or(all.delay),
            duplicate_pct: own.duplicate_pct.unwrap_or(all.duplicate_pct),
        }
    }
}

impl ReceiptShares {
    pub const DELAY_MAX: Duration = Duration::from_secs(24 * 3_600);
}
