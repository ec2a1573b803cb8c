//! The generic cell rate algorithm in its virtual scheduling form (ATM Forum Traffic Management 4.0, annex
//! "GCRA"; ITU-T I.371): pure functions of one number, the theoretical arrival time ("TAT").
//!
//! The TAT is the time at which the cell is full again. Each allowed request moves it one interval further; a
//! request that would move it more than a whole burst ahead of now is refused and moves nothing.

use std::num::NonZeroU32;
use std::time::Duration;

/// The window every quota is stated in, also the `w` of the header.
pub const WINDOW: Duration = Duration::from_secs(60);

/// An allowance of requests a minute. All of it may be used at once (the burst); it then comes back evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    per_minute: NonZeroU32,
}

/// Why a [`Quota`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Zero could mean "off" as well as "refuse everything", and a silent guess would be wrong for somebody.
    #[error("a rate limit of 0 a minute would refuse every request; set at least 1")]
    Zero,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Goes through.
    Allowed {
        /// The cell's new theoretical arrival time, to be kept until the next check.
        tat: Duration,
        /// What is left after this request.
        allowance: Allowance,
    },
    /// Does not. The cell stays as it was.
    Refused {
        /// Until the next request would be allowed, if nothing else is asked meanwhile; never 0.
        retry_after: Duration,
        /// What is left: nothing, and when that changes.
        allowance: Allowance,
    },
}

/// What a cell holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that would be allowed right now, one after the other.
    pub remaining: u32,
    /// Until there is one more; 0 when full.
    pub until_next: Duration,
    /// Until the cell is full; 0 when it is.
    pub until_full: Duration,
}

impl Quota {
    /// `count` requests a minute.
    ///
    /// # Errors
    /// When `count` is 0: a limit is switched off by not asking it, never by a number.
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

    /// Between two requests of an even stream. Rounded up to whole nanoseconds: the promise to the system behind
    /// is an upper bound, and rounding down would break it.
    fn interval(&self) -> Duration {
        let window = WINDOW.as_nanos() as u64;
        Duration::from_nanos(window.div_ceil(u64::from(self.count())))
    }

    /// How far the arrival time may run ahead of now: exactly `count` intervals, so that a full cell takes exactly
    /// `count` requests at once.
    fn burst(&self) -> Duration {
        self.interval() * self.count()
    }
}

impl Decision {
    /// True when the request goes through.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// What is left, whatever the answer was.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        match self {
            Self::Allowed { allowance, .. } | Self::Refused { allowance, .. } => *allowance,
        }
    }
}

/// Decides on one request. `tat` is what the last allowed one left, `None` for a key not seen yet (a full cell).
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

/// The arrival time of a cell that holds places for requests whose fate is open: each counts as a request of this very
/// moment for as long as it is open.
#[must_use]
pub fn with_reserved(tat: Option<Duration>, reserved: u32, now: Duration, quota: Quota) -> Option<Duration> {
    if reserved == 0 {
        return tat;
    }
    Some(full_at(tat, now).saturating_add(quota.interval().saturating_mul(reserved)))
}

/// Charges a request whose place was reserved: it counts from now on.
#[must_use]
pub fn charge(tat: Option<Duration>, now: Duration, quota: Quota) -> Duration {
    full_at(tat, now).saturating_add(quota.interval())
}

/// What the cell holds, without asking for anything.
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
