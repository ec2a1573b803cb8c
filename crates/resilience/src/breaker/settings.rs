//! The settings of a breaker, and two fixed times.

use std::time::Duration;

/// A half-open breaker that is undecided for this long decides on the results it has, or starts a new window. A probe of this
/// age is given up: every call takes much less.
pub const HALF_OPEN_UNDECIDED: Duration = Duration::from_secs(60);

/// After this long closed, a provider counts as healthy and the next cool-down starts from the shortest.
pub const HEALTHY_RESET: Duration = Duration::from_secs(600);

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerSettingsError {
    /// The breaker would be open before the first failure.
    #[error("the breaker's error threshold must be at least 1")]
    ErrorThresholdZero,
    /// The breaker would let calls through at once.
    #[error("the breaker's open time must be longer than 0")]
    OpenZero,
    /// The maximum would cut the first cool-down.
    #[error(
        "the breaker's longest open time ({max_open:?}) must not be shorter than its open time ({open:?})"
    )]
    MaxOpenBelowOpen { open: Duration, max_open: Duration },
    /// The breaker could never close.
    #[error("the breaker's half-open samples must be at least 1")]
    HalfOpenSamplesZero,
    /// No probe could start.
    #[error("the breaker's half-open probes in flight must be at least 1")]
    HalfOpenInFlightZero,
}

impl BreakerSettings {
    /// Checks the ranges of the fields, so that a bad setting stops the start.
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
