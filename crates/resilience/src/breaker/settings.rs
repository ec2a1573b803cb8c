//! What an operator can set about a breaker, and the two times nobody needs to set.

use std::time::Duration;

/// A half-open breaker that has not decided after this long decides on what it has, or starts to wait anew.
/// Also the age at which a probe that never reported back is given up: every call is bounded well below it.
pub const HALF_OPEN_UNDECIDED: Duration = Duration::from_secs(60);

/// After this long closed, a provider counts as healthy again and the next cool-down starts from the shortest.
pub const HEALTHY_RESET: Duration = Duration::from_secs(600);

/// How soon a breaker opens, how long it stays open, and how it finds out that the provider is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Consecutive failures that open it; at least 1.
    pub error_threshold: u32,
    /// The shortest cool-down, longer than 0. Each further opening doubles it.
    pub open: Duration,
    /// The longest cool-down, jitter included; at least `open`.
    pub max_open: Duration,
    /// Probes that decide a half-open breaker: two thirds of them must be good. At least 1.
    pub half_open_samples: u32,
    /// Probes under way at the same time; at least 1. More than `half_open_samples` changes nothing.
    pub half_open_in_flight: u32,
}

/// Why a breaker could not be made from its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerSettingsError {
    /// It would be open before the first failure.
    #[error("the breaker's error threshold must be at least 1")]
    ErrorThresholdZero,
    /// It would let calls through as soon as it has opened.
    #[error("the breaker's open time must be longer than 0")]
    OpenZero,
    /// The cap would cut the very first cool-down.
    #[error(
        "the breaker's longest open time ({max_open:?}) must not be shorter than its open time ({open:?})"
    )]
    MaxOpenBelowOpen {
        /// The open time as given.
        open: Duration,
        /// The longest open time as given.
        max_open: Duration,
    },
    /// Nothing could ever close it.
    #[error("the breaker's half-open samples must be at least 1")]
    HalfOpenSamplesZero,
    /// No probe could ever start.
    #[error("the breaker's half-open probes in flight must be at least 1")]
    HalfOpenInFlightZero,
}

impl BreakerSettings {
    /// Checks every range named at the fields, so that a bad setting stops the start and not the first failure.
    ///
    /// # Errors
    /// The first range that does not hold.
    pub fn validate(&self) -> Result<(), BreakerSettingsError> {
        if self.error_threshold == 0 {
            return Err(BreakerSettingsError::ErrorThresholdZero);
        }
        if self.open.is_zero() {
            return Err(BreakerSettingsError::OpenZero);
        }
        if self.max_open < self.open {
            let (open, max_open) = (self.open, self.max_open);
            return Err(BreakerSettingsError::MaxOpenBelowOpen { open, max_open });
        }
        if self.half_open_samples == 0 {
            return Err(BreakerSettingsError::HalfOpenSamplesZero);
        }
        if self.half_open_in_flight == 0 {
            return Err(BreakerSettingsError::HalfOpenInFlightZero);
        }
        Ok(())
    }
}
