//! Quotas and cells, step by step.

use std::num::NonZeroUsize;
use std::time::Duration;

use trunkline_resilience::rate_limit::{Decision, QuotaError};
use trunkline_resilience::{Quota, RateLimiter};

const START: Duration = Duration::from_secs(1_000);

fn limiter(per_minute: u32, cells_max: usize) -> RateLimiter<u32> {
    RateLimiter::new(
        Quota::per_minute(per_minute).unwrap(),
        NonZeroUsize::new(cells_max).unwrap(),
    )
}

#[test]
fn one_minutes_allowance_at_once_then_one_an_interval() {
    let mut cells = limiter(60, 8);
    for left in (0..60).rev() {
        let decision = cells.check(&1, START);
        assert!(decision.is_allowed());
        assert_eq!(decision.allowance().remaining, left);
        assert_eq!(decision.allowance().until_next, Duration::from_secs(1));
        assert_eq!(
            decision.allowance().until_full,
            Duration::from_secs(u64::from(60 - left))
        );
    }
    let just_before = START + Duration::from_nanos(999_999_999);
    assert!(!cells.check(&1, just_before).is_allowed());
    assert!(cells.check(&1, START + Duration::from_secs(1)).is_allowed());
    assert!(!cells.check(&1, START + Duration::from_secs(1)).is_allowed());
}

#[test]
fn a_refusal_says_when_and_leaves_the_cell_unchanged() {
    let mut cells = limiter(2, 8);
    let _ = cells.check(&1, START);
    let _ = cells.check(&1, START + Duration::from_secs(1));
    let before = cells.allowance(&1, START + Duration::from_secs(2));
    for _ in 0..100 {
        let decision = cells.check(&1, START + Duration::from_secs(2));
        let Decision::Refused { retry_after, .. } = decision else {
            panic!("{decision:?}")
        };
        assert_eq!(retry_after, Duration::from_secs(28));
        assert_eq!(decision.allowance(), before);
    }
    assert!(cells.check(&1, START + Duration::from_secs(30)).is_allowed());
}

#[test]
fn keys_do_not_disturb_each_other() {
    let mut cells = limiter(1, 8);
    assert!(cells.check(&1, START).is_allowed());
    assert!(cells.check(&2, START).is_allowed());
    assert!(!cells.check(&1, START).is_allowed());
}

#[test]
fn a_place_given_back_is_free_at_once() {
    let mut cells = limiter(3, 8);
    for _ in 0..3 {
        assert!(cells.reserve(&1, START).is_allowed());
    }
    assert!(!cells.reserve(&1, START).is_allowed());
    assert_eq!(cells.refund(&1, START).remaining, 1);
    assert!(cells.check(&1, START).is_allowed());
    assert!(!cells.check(&1, START).is_allowed());
}

#[test]
fn a_place_counts_for_as_long_as_it_is_taken_and_its_charge_from_then_on() {
    let mut cells = limiter(2, 8);
    assert!(cells.reserve(&1, START).is_allowed());
    let later = START + Duration::from_secs(3_600);
    assert_eq!(
        cells.allowance(&1, later).remaining,
        1,
        "time returns only what was charged"
    );
    assert_eq!(cells.commit(&1, later).until_full, Duration::from_secs(30));
}

#[test]
fn no_order_of_answers_gives_back_too_much() {
    // The simulation found this while requests were charged at once and refunded later.
    let mut cells = limiter(6, 8);
    let at = |seconds| START + Duration::from_secs(seconds);
    for second in [0, 0, 5] {
        assert!(cells.reserve(&1, at(second)).is_allowed());
    }
    let _ = cells.refund(&1, at(5));
    assert!(cells.reserve(&1, at(5)).is_allowed());
    let _ = cells.refund(&1, at(12));
    for _ in 0..2 {
        let _ = cells.commit(&1, at(12));
    }
    let allowed = (0..10).filter(|_| cells.check(&1, at(12)).is_allowed()).count();
    assert_eq!(allowed, 4, "six in a burst, two of which are spent");
}

#[test]
fn giving_back_never_fills_beyond_full() {
    let mut cells = limiter(3, 8);
    assert!(cells.reserve(&1, START).is_allowed());
    for _ in 0..10 {
        let _ = cells.refund(&1, START);
    }
    let full = cells.refund(&2, START);
    assert_eq!(
        (full.remaining, full.until_next, full.until_full),
        (3, Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(cells.allowance(&1, START), full);
}

#[test]
fn a_full_cell_takes_no_place() {
    let mut cells = limiter(1, 2);
    let _ = cells.check(&1, START);
    let _ = cells.reserve(&2, START);
    let _ = cells.refund(&2, START);
    let _ = cells.check(&3, START);
    assert!(!cells.check(&1, START).is_allowed(), "the cell of 1 was evicted");
}

#[test]
fn the_longest_unasked_cell_goes_first() {
    let mut cells = limiter(1, 2);
    let _ = cells.check(&1, START);
    let _ = cells.check(&2, START);
    assert!(!cells.check(&1, START).is_allowed(), "a refusal too is a use");
    let _ = cells.check(&3, START);
    assert!(!cells.check(&1, START).is_allowed());
    assert!(cells.check(&2, START).is_allowed(), "evicted, so full again");
}

#[test]
fn time_that_goes_backwards_opens_nothing() {
    let mut cells = limiter(1, 2);
    let _ = cells.check(&1, START);
    let decision = cells.check(&1, Duration::ZERO);
    let Decision::Refused { retry_after, .. } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(retry_after, START + Duration::from_secs(60));
}

#[test]
fn extreme_times_and_quotas_do_not_overflow() {
    let mut cells = limiter(u32::MAX, 1);
    assert!(cells.check(&1, Duration::ZERO).is_allowed());
    assert!(cells.check(&1, Duration::MAX).is_allowed());
    assert!(cells.reserve(&1, Duration::MAX).is_allowed());
    let _ = cells.commit(&1, Duration::MAX);
    assert_eq!(
        limiter(1, 1).check(&1, Duration::ZERO).allowance().until_full,
        Duration::from_secs(60)
    );
}

#[test]
fn a_quota_of_nothing_is_refused() {
    assert_eq!(Quota::per_minute(0), Err(QuotaError::Zero));
    assert_eq!(Quota::per_minute(60).unwrap().count(), 60);
}
