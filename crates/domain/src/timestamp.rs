use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

/// An instant in UTC with microseconds, the precision of both databases; finer digits are cut off. Written as RFC 3339 with
/// `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// How far ahead of this node's clock a time may be.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);
const NANOS_PER_MICRO: i128 = 1_000;

impl Timestamp {
    /// The year 1: PostgreSQL and RFC 3339 write no earlier date without a sign.
    pub const MIN: Self = Self(jiff::Timestamp::constant(-62_135_596_800, 0));

    /// 1990-01-01: the earliest time at which a message is believed to be written. A clock that was never set shows an earlier
    /// one.
    pub const EARLIEST: Self = Self(jiff::Timestamp::constant(631_152_000, 0));

    /// Whether something can have happened at this time, as a client says: not before 1990, and not more than an hour after
    /// `now`, because clocks differ.
    #[must_use]
    pub fn is_believable(self, now: Self) -> bool {
        (Self::EARLIEST..=now.saturating_add(AHEAD_MAX)).contains(&self)
    }

    /// Reads an RFC 3339 date and time with an offset, in the years 1 to 9999. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = Self::from(text.parse::<jiff::Timestamp>().ok()?);
        (parsed >= Self::MIN).then_some(parsed)
    }

    /// From microseconds since 1970. `None` outside the years -9999 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Stops at the end of the year 9999.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.as_micros().saturating_add(micros)).unwrap_or(Self(jiff::Timestamp::MAX))
    }

    /// Zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.as_micros() - earlier.as_micros()).unwrap_or(0))
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(exact: jiff::Timestamp) -> Self {
        // `as_microsecond` rounds towards 1970, which does not cut off the digits of earlier times.
        let micros = exact.as_nanosecond().div_euclid(NANOS_PER_MICRO);
        i64::try_from(micros)
            .ok()
            .and_then(Self::from_micros)
            .unwrap_or(Self(exact))
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_kept_and_utc_is_shown() {
        let cases = [
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
            (
                "2026-11-21T12:00:00.123456789+02:00",
                "2026-11-21T10:00:00.123456Z",
            ),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.9999989Z", "1969-12-31T23:59:59.999998Z"),
            ("0002-01-01T00:00:00.0000001Z", "0002-01-01T00:00:00Z"),
        ];
        for (given, shown) in cases {
            assert_eq!(Timestamp::parse(given).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn text_that_is_no_instant_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "-000044-03-15T12:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_limits() {
        let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        let later = now.saturating_add(Duration::from_millis(1500));
        assert_eq!(later.saturating_since(now), Duration::from_millis(1500));
        assert_eq!(now.saturating_since(later), Duration::ZERO);
        assert!(now.saturating_add(Duration::MAX) > later);
    }
}
