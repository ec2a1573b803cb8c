//! How long a message waits before its next attempt: exponential backoff with "full jitter" (AWS Architecture Blog,
//! "Exponential Backoff And Jitter", 2015). Jitter keeps messages that failed together from returning together.
//!
//! Whether there is a next attempt is decided elsewhere, by attempts and deadlines.

use std::time::Duration;

use crate::jitter;

/// A schedule of growing, jittered delays between `base` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    /// Doubling zero stays zero: retries would follow without a pause.
    #[error("the backoff base must be longer than 0; set at least 1 ms")]
    BaseZero,
    /// The maximum would cut the first delay.
    #[error("the backoff maximum ({max:?}) must not be shorter than the base ({base:?})")]
    MaxBelowBase { base: Duration, max: Duration },
}

impl Backoff {
    /// `base` is the longest delay after the first failed attempt, `max` the longest delay of all.
    ///
    /// # Errors
    /// When `base` is zero or `max` is shorter than `base`.
    pub fn new(base: Duration, max: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() {
            return Err(BackoffError::BaseZero);
        }
        if max < base {
            return Err(BackoffError::MaxBelowBase { base, max });
        }
        Ok(Self { base, max })
    }

    /// The delay after an error, timeout or unknown outcome: uniform in `0..=min(max, base * 2^(n-1))`, where n is
    /// `attempts_counted`, the failed attempts including this one (0 counts as 1).
    #[must_use]
    pub fn delay(&self, attempts_counted: u32, random: u64) -> Duration {
        jitter::up_to(self.ceiling(attempts_counted), random)
    }

    /// The delay after a 429: the longer of the provider's hint and a backoff that grows with `consecutive_rate_limited`,
    /// the 429s in a row including this one (0 counts as 1).
    ///
    /// Never shorter than `retry_after` (RFC 9110, 10.2.3). Without a hint the delay is uniform in the upper half of what
    /// [`delay`](Self::delay) draws from ("equal jitter"): a 429 does not count as an attempt, so delays near zero could
    /// repeat without end.
    #[must_use]
    pub fn after_rate_limit(
        &self,
        consecutive_rate_limited: u32,
        retry_after: Option<Duration>,
        random: u64,
    ) -> Duration {
        let ceiling = self.ceiling(consecutive_rate_limited);
        let upper_half = ceiling / 2;
        let backoff = ceiling - upper_half + jitter::up_to(upper_half, random);
        retry_after.map_or(backoff, |hint| hint.max(backoff))
    }

    fn ceiling(&self, failures: u32) -> Duration {
        doubled(self.base, failures.saturating_sub(1), self.max)
    }
}

/// `base * 2^times`, at most `max`. `base` is not zero.
pub(crate) fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    let mut delay = base;
    for _ in 0..times {
        // At most 94 rounds: by then even one nanosecond is longer than any `Duration`.
        if delay >= max {
            break;
        }
        delay = delay.saturating_mul(2);
    }
    delay.min(max)
}
