//! How long a breaker stays open.

use std::time::Duration;

use super::BreakerSettings;
use crate::{backoff, jitter};

/// `open * 2^reopenings`, at most `max_open`, with up to 10 % added at random, so that nodes whose breakers opened
/// together do not probe a recovering provider together.
///
/// Where the addition would pass `max_open`, the whole 10 % window moves below it: at the cap the spread matters
/// most and must not vanish. In no case shorter than `open`, which an operator reads as a promise, or longer than
/// `max_open`.
pub(super) fn cooldown(settings: &BreakerSettings, reopenings: u32, random: u64) -> Duration {
    let nominal = backoff::doubled(settings.open, reopenings, settings.max_open);
    let spread = nominal / 10;
    let longest = nominal.saturating_add(spread).min(settings.max_open);
    let shortest = longest.saturating_sub(spread).max(settings.open);
    shortest + jitter::up_to(longest - shortest, random)
}
