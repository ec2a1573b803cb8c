//! The generic cell rate algorithm in its virtual scheduling form (ATM Forum Traffic Management 4.0, annex "GCRA"; ITU-T
//! I.371): pure functions of one number, the theoretical arrival time (TAT).
//!
//! The TAT is the time at which the cell is full again. Each allowed request moves it one interval ahead. A request that would
//! move it more than a whole burst ahead of now is refused and moves nothing.

use std::num::NonZeroU32;
use std::time::Duration;

/// The window of every quota; the `w` of the header.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Requests a minute. All of them may come at once (the burst); the allowance then returns evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    per_minute: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// 0 means that a limit is off; a limit that is off has no quota.
    #[error("a quota needs at least 1 request a minute")]
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    Allowed {
        /// The new TAT, to be kept until the next check.
        tat: Duration,
        allowance: Allowance,
    },
    /// Refused; the cell does not change.
    Refused {
        /// Until the next request would be allowed if no other is made; never 0.
        retry_after: Duration,
        allowance: Allowance,
    },
}

/// The contents of a cell at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that would be allowed now, one after the other.
    pub remaining: u32,
    /// Until there is one more; 0 when full.
    pub until_next: Duration,
    /// Until the cell is full; 0 when it is.
    pub until_full: Duration,
}

impl Quota {
    /// # Errors
    /// When `count` is 0: leave a limit that is off out instead.
    pub fn per_minute(count: u32) -> Result<Self, QuotaError> {
        NonZeroU32::new(count)
            .map(|per_minute| Self { per_minute })
            .ok_or(QuotaError::Zero)
    }

    /// Requests a minute, and in one burst.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.per_minute.get()
    }

    /// The interval of an even stream, rounded up to whole nanoseconds: the limit is an upper bound, and rounding down would
    /// exceed it.
    fn interval(&self) -> Duration {
        let window = WINDOW.as_nanos() as u64;
        Duration::from_nanos(window.div_ceil(u64::from(self.count())))
    }

    /// How far the TAT may be ahead of now: exactly `count` intervals, so that a full cell takes `count` requests at once.
    fn burst(&self) -> Duration {
        self.interval() * self.count()
    }
}

impl Decision {
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    #[must_use]
    pub fn allowance(&self) -> Allowance {
        match self {
            Self::Allowed { allowance, .. } | Self::Refused { allowance, .. } => *allowance,
        }
    }
}

/// Decides on one request. `tat` is the value after the last allowed one; `None` for a new key (a full cell).
pub fn check(tat: Option<Duration>, now: Duration, quota: Quota) -> Decision {
    let advanced = charge(tat, now, quota);
    if advanced > now.saturating_add(quota.burst()) {
        let allowance = allowance(tat, now, quota);
        return Decision::Refused {
            retry_after: allowance.until_next,
            allowance,
        };
    }
    Decision::Allowed {
        tat: advanced,
        allowance: allowance(Some(advanced), now, quota),
    }
}

/// The TAT of a cell that holds places for undecided requests: while undecided, each counts as a request made now.
#[must_use]
pub fn with_reserved(tat: Option<Duration>, reserved: u32, now: Duration, quota: Quota) -> Option<Duration> {
    if reserved == 0 {
        return tat;
    }
    Some(full_at(tat, now).saturating_add(quota.interval().saturating_mul(reserved)))
}

/// Charges a reserved request; it counts from now on.
#[must_use]
pub fn charge(tat: Option<Duration>, now: Duration, quota: Quota) -> Duration {
    full_at(tat, now).saturating_add(quota.interval())
}

/// The contents of the cell.
#[must_use]
pub fn allowance(tat: Option<Duration>, now: Duration, quota: Quota) -> Allowance {
    let until_full = full_at(tat, now) - now;
    let (interval, burst) = (quota.interval(), quota.burst());
    let unspent = burst.saturating_sub(until_full);
    let remaining = u32::try_from(unspent.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
    let until_next = if until_full.is_zero() {
        Duration::ZERO
    } else {
        (until_full + interval * remaining.saturating_add(1)).saturating_sub(burst)
    };
    Allowance {
        remaining,
        until_next,
        until_full,
    }
}

fn full_at(tat: Option<Duration>, now: Duration) -> Duration {
    tat.map_or(now, |tat| tat.max(now))
}
