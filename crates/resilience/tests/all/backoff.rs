//! Delays between attempts.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_resilience::backoff::{Backoff, BackoffError};

const BASE: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(900);

fn schedule() -> Backoff {
    Backoff::new(BASE, MAX).unwrap()
}

#[test]
fn doubles_up_to_the_maximum() {
    let longest = |attempts| schedule().delay(attempts, u64::MAX);
    assert_eq!(longest(1), BASE);
    assert_eq!(longest(2), BASE * 2);
    assert_eq!(longest(5), BASE * 16);
    assert_eq!(longest(11), BASE * 1024);
    assert_eq!(longest(12), MAX);
    assert_eq!(longest(u32::MAX), MAX);
}

#[test]
fn the_whole_range_down_to_zero_is_used() {
    assert_eq!(schedule().delay(3, 0), Duration::ZERO);
    assert_eq!(schedule().delay(3, 1 << 63), BASE * 2);
}

#[test]
fn no_attempt_counts_as_the_first() {
    assert_eq!(schedule().delay(0, u64::MAX), BASE);
}

#[test]
fn the_smallest_base_reaches_the_largest_maximum() {
    let schedule = Backoff::new(Duration::from_nanos(1), Duration::from_secs(3600)).unwrap();
    assert_eq!(schedule.delay(41, u64::MAX), Duration::from_nanos(1 << 40));
    assert_eq!(schedule.delay(50, u64::MAX), Duration::from_secs(3600));
    let endless = Backoff::new(Duration::from_nanos(1), Duration::MAX).unwrap();
    assert_eq!(endless.delay(u32::MAX, u64::MAX), Duration::from_nanos(u64::MAX));
}

#[test]
fn after_a_429_the_hint_wins_when_it_is_longer() {
    let hint = Duration::from_secs(86_400 * 365);
    assert_eq!(schedule().after_rate_limit(1, Some(hint), u64::MAX), hint);
}

#[test]
fn after_a_429_the_backoff_wins_when_the_hint_is_shorter() {
    let hint = Some(Duration::from_millis(1));
    assert_eq!(schedule().after_rate_limit(4, hint, u64::MAX), BASE * 8);
    assert_eq!(schedule().after_rate_limit(4, hint, 0), BASE * 4);
}

#[test]
fn after_a_429_without_a_hint_there_is_always_a_pause() {
    assert_eq!(schedule().after_rate_limit(1, None, 0), BASE / 2);
    assert_eq!(schedule().after_rate_limit(u32::MAX, None, 0), MAX / 2);
    let tiny = Backoff::new(Duration::from_nanos(1), Duration::from_nanos(1)).unwrap();
    assert_eq!(tiny.after_rate_limit(1, None, 0), Duration::from_nanos(1));
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused() {
    assert_eq!(Backoff::new(Duration::ZERO, MAX), Err(BackoffError::BaseZero));
    let error = Backoff::new(MAX, BASE).unwrap_err();
    assert_eq!(error, BackoffError::MaxBelowBase { base: MAX, max: BASE });
    assert_eq!(
        error.to_string(),
        "the backoff maximum (500ms) must not be shorter than the base (900s)"
    );
    assert!(Backoff::new(BASE, BASE).is_ok());
}

fn any_schedule() -> impl Strategy<Value = (Duration, Duration)> {
    (1..=u64::MAX / 2, 0..=u64::MAX / 2)
        .prop_map(|(base, more)| (Duration::from_nanos(base), Duration::from_nanos(base + more)))
}

proptest! {
    #[test]
    fn a_delay_never_passes_its_ceiling(
        (base, max) in any_schedule(), attempts in any::<u32>(), random in any::<u64>(),
    ) {
        let delay = Backoff::new(base, max).unwrap().delay(attempts, random);
        // By logarithms, which are exact only below 2^53: only the upper bound is checked.
        let ceiling = base.as_secs_f64() * f64::from(attempts.saturating_sub(1).min(200)).exp2();
        prop_assert!(delay <= max);
        prop_assert!(delay.as_secs_f64() <= ceiling * 1.000_001);
    }

    #[test]
    fn a_message_never_returns_before_the_hint(
        (base, max) in any_schedule(), in_a_row in any::<u32>(), random in any::<u64>(), hint in any::<u64>(),
    ) {
        let hint = Duration::from_millis(hint);
        let delay = Backoff::new(base, max).unwrap().after_rate_limit(in_a_row, Some(hint), random);
        prop_assert!(delay >= hint);
        prop_assert!(delay <= hint.max(max));
    }

    #[test]
    fn more_429s_in_a_row_never_wait_less(
        (base, max) in any_schedule(), in_a_row in 0_u32..200, random in any::<u64>(),
    ) {
        let schedule = Backoff::new(base, max).unwrap();
        let delay = schedule.after_rate_limit(in_a_row, None, random);
        prop_assert!(delay > Duration::ZERO);
        prop_assert!(delay <= schedule.after_rate_limit(in_a_row + 1, None, random));
    }
}
