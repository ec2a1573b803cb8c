//! Properties of every sequence of requests.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock};
use proptest::prelude::*;
use trunkline_resilience::rate_limit::Decision;
use trunkline_resilience::{Quota, RateLimiter};

/// Small quotas and odd ones, whose interval is no whole number of nanoseconds.
fn per_minute() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..=12, Just(60), Just(7_001), 1_u32..=2_000]
}

/// Pauses from nothing to more than a minute, often near the interval, where off-by-one errors live.
fn pause(per_minute: u32) -> impl Strategy<Value = Duration> {
    let interval = 60_000_000_000_u64.div_ceil(u64::from(per_minute));
    prop_oneof![
        4 => Just(0_u64),
        3 => interval - 2..=interval + 2,
        2 => 0_u64..=interval * 3,
        1 => 0_u64..=90_000_000_000,
    ]
    .prop_map(Duration::from_nanos)
}

fn quota_and_pauses() -> impl Strategy<Value = (u32, Vec<Duration>)> {
    per_minute().prop_flat_map(|count| (Just(count), prop::collection::vec(pause(count), 1..200)))
}

fn limiter(per_minute: u32) -> RateLimiter<u8> {
    RateLimiter::new(Quota::per_minute(per_minute).unwrap(), NonZeroUsize::MIN)
}

/// Compares the requests accepted in every window with the most it may have. Windows from request to request suffice: any
/// other holds the same requests and is longer.
fn assert_within_rate(per_minute: u32, accepted: &[(Duration, i64)]) -> Result<(), TestCaseError> {
    for (first, (from, _)) in accepted.iter().enumerate() {
        let mut count = 0;
        for (until, change) in &accepted[first..] {
            count += i128::from(*change);
            let window = (*until - *from).as_nanos() as i128;
            // count <= burst + rate * window, without fractions.
            let minute = 60_000_000_000_i128;
            prop_assert!(
                (count - i128::from(per_minute)) * minute <= i128::from(per_minute) * window,
                "{count} accepted in {window} ns at {per_minute} a minute"
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn decides_like_governor((count, pauses) in quota_and_pauses()) {
        let interval = Duration::from_nanos(60_000_000_000_u64.div_ceil(u64::from(count)));
        let burst = NonZeroU32::new(count).unwrap();
        let oracle_quota = governor::Quota::with_period(interval).unwrap().allow_burst(burst);
        let clock = FakeRelativeClock::default();
        let oracle = governor::RateLimiter::direct_with_clock(oracle_quota, clock.clone());
        let mut cells = limiter(count);
        let mut now = Duration::ZERO;
        for pause in pauses {
            clock.advance(pause);
            now += pause;
            match (cells.check(&0, now), oracle.check()) {
                (Decision::Allowed { .. }, Ok(())) => {}
                (Decision::Refused { retry_after, .. }, Err(until)) => {
                    prop_assert_eq!(retry_after, until.wait_time_from(clock.now()));
                }
                (ours, theirs) => prop_assert!(false, "{:?} but {:?} at {:?}", ours, theirs, now),
            }
        }
    }

    #[test]
    fn accepts_no_more_than_burst_and_rate((count, pauses) in quota_and_pauses()) {
        let mut cells = limiter(count);
        let mut now = Duration::ZERO;
        let mut accepted = Vec::new();
        for pause in pauses {
            now += pause;
            if cells.check(&0, now).is_allowed() {
                accepted.push((now, 1));
            }
        }
        assert_within_rate(count, &accepted)?;
    }

    #[test]
    fn accepts_no_more_than_burst_and_rate_of_what_came_to_something(
        (count, pauses) in quota_and_pauses(), ends in prop::collection::vec(any::<Option<bool>>(), 200),
    ) {
        let mut cells = limiter(count);
        let mut now = Duration::ZERO;
        let mut open = 0;
        let mut accepted: Vec<(Duration, i64)> = Vec::new();
        for (pause, end) in pauses.into_iter().zip(ends) {
            now += pause;
            match end {
                Some(something) if open > 0 => {
                    open -= 1;
                    if something {
                        let _ = cells.commit(&0, now);
                        accepted.push((now, 1));
                    } else {
                        let _ = cells.refund(&0, now);
                    }
                }
                _ => open += u32::from(cells.reserve(&0, now).is_allowed()),
            }
        }
        assert_within_rate(count, &accepted)?;
    }

    #[test]
    fn what_it_says_comes_true((count, pauses) in quota_and_pauses()) {
        let mut cells = limiter(count);
        let mut now = Duration::from_secs(5);
        for pause in pauses {
            now += pause;
            let before = cells.allowance(&0, now);
            let decision = cells.check(&0, now);
            prop_assert_eq!(decision.is_allowed(), before.remaining > 0);
            let after = decision.allowance();
            prop_assert_eq!(after, cells.allowance(&0, now));
            prop_assert_eq!(after.remaining, before.remaining.saturating_sub(1));
            let short = cells.allowance(&0, now + after.until_next - Duration::from_nanos(1));
            prop_assert_eq!(short.remaining, after.remaining);
            prop_assert_eq!(cells.allowance(&0, now + after.until_next).remaining, after.remaining + 1);
            prop_assert_eq!(cells.allowance(&0, now + after.until_full).remaining, count);
        }
    }

    #[test]
    fn a_place_given_back_undoes_a_reservation((count, pauses) in quota_and_pauses()) {
        let mut cells = limiter(count);
        let mut now = Duration::ZERO;
        for pause in pauses {
            now += pause;
            let before = cells.allowance(&0, now);
            if cells.reserve(&0, now).is_allowed() {
                prop_assert_eq!(cells.refund(&0, now), before);
                prop_assert_eq!(cells.check(&0, now).allowance().remaining, before.remaining - 1);
            }
        }
    }

    #[test]
    fn the_bound_on_cells_holds_and_an_unevicted_cell_is_exact(
        cells_max in 1_usize..5, keys in prop::collection::vec((0_u8..8, any::<bool>()), 1..200),
    ) {
        let quota = Quota::per_minute(3).unwrap();
        let mut cells = RateLimiter::new(quota, NonZeroUsize::new(cells_max).unwrap());
        // A slow and obvious model: keys by last use, oldest first.
        let mut by_use: Vec<u8> = Vec::new();
        let mut alone: HashMap<u8, RateLimiter<u8>> = HashMap::new();
        let now = Duration::from_secs(1);
        for (key, gives_back) in keys {
            let single = alone.entry(key).or_insert_with(|| limiter(3));
            if gives_back {
                prop_assert_eq!(cells.refund(&key, now), single.refund(&key, now));
            } else {
                prop_assert_eq!(cells.check(&key, now), single.check(&key, now));
                by_use.retain(|used| *used != key);
                by_use.push(key);
                if by_use.len() > cells_max {
                    alone.remove(&by_use.remove(0));
                }
            }
        }
    }
}
