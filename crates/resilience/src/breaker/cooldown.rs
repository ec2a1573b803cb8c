//! How long a breaker stays open.

use std::time::Duration;

use super::BreakerSettings;
use crate::{backoff, jitter};

/// `open * 2^reopenings`, at most `max_open`, plus up to 10 % at random, so that nodes whose breakers opened together do not
/// probe a recovering provider together.
///
/// If the addition would exceed `max_open`, the whole 10 % window lies below it, so that the spread remains at the maximum. The
/// result is never shorter than `open` or longer than `max_open`.
pub(super) fn cooldown(settings: &BreakerSettings, reopenings: u32, random: u64) -> Duration {
    let nominal = backoff::doubled(settings.open, reopenings, settings.max_open);
    let spread = nominal / 10;
    let longest = nominal.saturating_add(spread).min(settings.max_open);
    let shortest = longest.saturating_sub(spread).max(settings.open);
    shortest + jitter::up_to(longest - shortest, random)
}
