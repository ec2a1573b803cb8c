//! Turns one random `u64` into a duration, for all rules in the same way.

use std::time::Duration;

/// Uniform in `0..=longest`, both ends included; `longest` beyond 584 years (`u64` nanoseconds) counts as that.
///
/// Multiplies and shifts instead of taking a remainder (Lemire, "Fast Random Integer Generation in an Interval",
/// 2019): no division, and a larger `random` never means a shorter duration, which makes edges easy to test.
pub(crate) fn up_to(longest: Duration, random: u64) -> Duration {
    let choices = u128::from(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX)) + 1;
    // `choices` is at most 2^64, so the product fits and its upper half is below `choices`.
    Duration::from_nanos(((u128::from(random) * choices) >> 64) as u64)
}

/// Uniform in `spread` around `middle`, which is longer than half of it.
#[must_use]
pub fn around(middle: Duration, spread: Duration, random: u64) -> Duration {
    (middle - spread / 2) + up_to(spread, random)
}
