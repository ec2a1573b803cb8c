//! What opens a breaker, and for how long.

use std::time::Duration;

use trunkline_resilience::breaker::{
    Breaker, BreakerSettings, BreakerSettingsError, BreakerState, Capacity, HEALTHY_RESET, Verdict,
};

use super::{NANO, SETTINGS, Walk};
use BreakerState::{Closed, HalfOpen, Open};
use Verdict::{Answered, Failure, Success};

#[test]
fn a_new_breaker_is_closed_and_sets_no_limit() {
    let mut walk = Walk::new();
    let snapshot = walk.breaker.snapshot(walk.now);
    assert_eq!((snapshot.state, snapshot.consecutive_failures), (Closed, 0));
    assert_eq!(
        (snapshot.last_transition_at, snapshot.cooldown_remaining),
        (None, Duration::ZERO)
    );
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Unlimited);
    assert_eq!(walk.breaker.next_change_in(walk.now), None);
    assert_eq!(walk.pass(HEALTHY_RESET * 100), None);
    assert!(!walk.permit().is_probe());
}

#[test]
fn exactly_the_threshold_opens_it() {
    let mut walk = Walk::new();
    assert_eq!(walk.calls(&[Failure, Failure]), None);
    assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 2);
    assert_eq!(walk.calls(&[Failure]), walk.moved(Closed, Open));
    assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 3);
    assert_eq!(walk.breaker.snapshot(walk.now).last_transition_at, Some(walk.now));
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let mut walk = Walk::new();
    for _ in 0..100 {
        assert_eq!(
            walk.calls(&[Failure, Failure, Success]),
            None,
            "alternating answers must not flap"
        );
    }
}

#[test]
fn an_answer_neither_counts_nor_resets() {
    let mut walk = Walk::new();
    assert_eq!(walk.calls(&[Answered; 100]), None);
    assert_eq!(walk.calls(&[Failure, Answered, Failure, Answered]), None);
    assert_eq!(walk.calls(&[Failure]), walk.moved(Closed, Open));
}

#[test]
fn open_lets_nothing_through_until_the_cool_down_is_over() {
    let mut walk = Walk::opened();
    assert_eq!(walk.refused_for(), SETTINGS.open);
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(0));
    assert_eq!(walk.breaker.next_change_in(walk.now), Some(SETTINGS.open));
    assert_eq!(walk.pass(SETTINGS.open - NANO), None);
    assert_eq!(walk.refused_for(), NANO);
    assert_eq!(walk.breaker.snapshot(walk.now).cooldown_remaining, NANO);
    assert_eq!(walk.pass(NANO), walk.moved(Open, HalfOpen));
    assert_eq!(walk.breaker.snapshot(walk.now).cooldown_remaining, Duration::ZERO);
}

#[test]
fn asking_after_the_cool_down_is_enough_to_become_half_open() {
    let mut walk = Walk::opened();
    walk.now += SETTINGS.open;
    assert_eq!(
        walk.breaker.capacity(walk.now),
        Capacity::Permits(2),
        "without a tick"
    );
    assert_eq!(walk.breaker.next_change_in(walk.now), Some(Duration::ZERO));
    let (probe, transition) = walk.breaker.admit(walk.now, 0);
    assert_eq!(transition, walk.moved(Open, HalfOpen));
    assert!(probe.unwrap().is_probe());
}

#[test]
fn results_from_before_the_last_transition_are_ignored() {
    let mut walk = Walk::new();
    let (from_closed, another) = (walk.permit(), walk.permit());
    let _ = walk.calls(&[Failure, Failure, Failure]);
    assert_eq!(walk.record(from_closed, Success), None);
    assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 3);

    let _ = walk.pass(SETTINGS.open);
    let from_half_open = walk.permit();
    assert_eq!(walk.record(another, Failure), None);
    assert_eq!(walk.calls(&[Success]), None);
    assert_eq!(walk.calls(&[Success]), walk.moved(HalfOpen, Closed));

    assert_eq!(walk.record(from_half_open, Failure), None);
    assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 0);
}

/// Opens it, and returns its cool-down for this `random`.
fn cooldown(walk: &mut Walk, random: u64) -> Duration {
    walk.random = random;
    while walk.state() != Open {
        let _ = walk.calls(&[Failure]);
    }
    let cooldown = walk.breaker.snapshot(walk.now).cooldown_remaining;
    let _ = walk.pass(cooldown);
    cooldown
}

#[test]
fn the_cool_down_doubles_with_up_to_a_tenth_more_and_never_passes_its_cap() {
    for (random, seconds) in [
        (0, [30, 60, 120, 240, 270, 270]),
        (u64::MAX, [33, 66, 132, 264, 300, 300]),
    ] {
        let mut walk = Walk::new();
        for expected in seconds {
            assert_eq!(cooldown(&mut walk, random), Duration::from_secs(expected));
        }
    }
}

#[test]
fn the_cool_down_is_never_shorter_than_open() {
    let mut walk = Walk::with(BreakerSettings {
        max_open: SETTINGS.open,
        ..SETTINGS
    });
    assert_eq!(cooldown(&mut walk, 0), SETTINGS.open);
    assert_eq!(cooldown(&mut walk, u64::MAX), SETTINGS.open);
}

#[test]
fn ten_closed_minutes_forget_earlier_openings_and_less_do_not() {
    for (healthy, next) in [(HEALTHY_RESET - NANO, 120), (HEALTHY_RESET, 30)] {
        let mut walk = Walk::new();
        assert_eq!(cooldown(&mut walk, 0), Duration::from_secs(30));
        assert_eq!(cooldown(&mut walk, 0), Duration::from_secs(60));
        assert_eq!(walk.calls(&[Success, Success]), walk.moved(HalfOpen, Closed));
        assert_eq!(walk.pass(healthy), None);
        assert_eq!(cooldown(&mut walk, 0), Duration::from_secs(next));
    }
}

#[test]
fn ten_half_open_minutes_are_not_healthy_ones() {
    let mut walk = Walk::new();
    assert_eq!(cooldown(&mut walk, 0), Duration::from_secs(30));
    assert_eq!(walk.pass(HEALTHY_RESET), None);
    assert_eq!(cooldown(&mut walk, 0), Duration::from_secs(60));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    #[rustfmt::skip]
    let cases = [
        (BreakerSettings { error_threshold: 0, ..SETTINGS }, BreakerSettingsError::ErrorThresholdZero),
        (BreakerSettings { open: Duration::ZERO, ..SETTINGS }, BreakerSettingsError::OpenZero),
        (BreakerSettings { max_open: NANO, ..SETTINGS },
            BreakerSettingsError::MaxOpenBelowOpen { open: SETTINGS.open, max_open: NANO }),
        (BreakerSettings { half_open_samples: 0, ..SETTINGS }, BreakerSettingsError::HalfOpenSamplesZero),
        (BreakerSettings { half_open_in_flight: 0, ..SETTINGS }, BreakerSettingsError::HalfOpenInFlightZero),
    ];
    for (settings, error) in cases {
        assert_eq!(Breaker::new(settings).unwrap_err(), error);
    }
}
