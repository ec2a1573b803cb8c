//! A few probes decide a half-open breaker.

use std::time::Duration;

use trunkline_resilience::breaker::{BreakerSettings, BreakerState, Capacity, HALF_OPEN_UNDECIDED, Verdict};

use super::{NANO, SETTINGS, Walk};
use BreakerState::{Closed, HalfOpen, Open};
use Verdict::{Answered, Failure, Success};

#[test]
fn half_open_limits_the_probes_under_way() {
    let mut walk = Walk::half_opened();
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(2));
    let (first, _second) = (walk.permit(), walk.permit());
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(0));
    assert_eq!(walk.refused_for(), HALF_OPEN_UNDECIDED);
    assert_eq!(walk.record(first, Success), None);
    assert_eq!(
        walk.breaker.capacity(walk.now),
        Capacity::Permits(1),
        "the third of the sample"
    );
    let _third = walk.permit();
    let _ = walk.refused_for();
}

#[test]
fn half_open_limits_the_probes_in_all() {
    let mut walk = Walk::half_opened();
    assert_eq!(walk.calls(&[Success, Failure]), None);
    assert_eq!(
        walk.breaker.capacity(walk.now),
        Capacity::Permits(1),
        "although two may be under way"
    );
    let _last = walk.permit();
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(0));
}

#[test]
fn two_thirds_good_close_it() {
    for verdicts in [
        &[Success, Failure, Success][..],
        &[Failure, Answered, Answered],
        &[Success, Answered],
    ] {
        let mut walk = Walk::half_opened();
        assert_eq!(walk.calls(verdicts), walk.moved(HalfOpen, Closed), "{verdicts:?}");
        assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 0);
        assert_eq!(walk.calls(&[Failure, Failure]), None, "a full count again");
    }
}

#[test]
fn less_than_two_thirds_open_it_again() {
    for verdicts in [
        &[Failure, Failure][..],
        &[Success, Failure, Failure],
        &[Failure, Answered, Failure],
    ] {
        let mut walk = Walk::half_opened();
        assert_eq!(walk.calls(verdicts), walk.moved(HalfOpen, Open), "{verdicts:?}");
    }
}

#[test]
fn it_decides_as_soon_as_the_rest_cannot_change_it() {
    // samples, verdicts that leave it undecided, the one that decides, where to
    #[rustfmt::skip]
    let cases: &[(u32, &[Verdict], Verdict, BreakerState)] = &[
        (1, &[], Success, Closed),
        (1, &[], Failure, Open),
        (2, &[Success], Success, Closed),
        (2, &[], Failure, Open),
        (4, &[Success, Success], Success, Closed),
        (4, &[Success, Failure], Failure, Open),
        (6, &[Success, Success, Success, Failure, Failure], Success, Closed),
        (6, &[Failure, Failure], Failure, Open),
    ];
    for (samples, before, last, to) in cases {
        let mut walk = Walk::with(BreakerSettings {
            half_open_samples: *samples,
            ..SETTINGS
        });
        let _ = walk.calls(&[Failure, Failure, Failure]);
        let _ = walk.pass(SETTINGS.open);
        assert_eq!(walk.calls(before), None, "{samples} {before:?}");
        assert_eq!(
            walk.calls(&[*last]),
            walk.moved(HalfOpen, *to),
            "{samples} {before:?}"
        );
    }
}

#[test]
fn after_a_minute_good_results_alone_close_it() {
    let mut walk = Walk::half_opened();
    assert_eq!(walk.calls(&[Answered]), None);
    assert_eq!(walk.breaker.next_change_in(walk.now), Some(HALF_OPEN_UNDECIDED));
    assert_eq!(walk.pass(HALF_OPEN_UNDECIDED - NANO), None);
    assert_eq!(walk.pass(NANO), walk.moved(HalfOpen, Closed));
}

#[test]
fn after_a_minute_any_failure_opens_it() {
    let mut walk = Walk::half_opened();
    assert_eq!(walk.calls(&[Success, Failure]), None);
    assert_eq!(walk.pass(HALF_OPEN_UNDECIDED - NANO), None);
    assert_eq!(walk.pass(NANO), walk.moved(HalfOpen, Open));
}

#[test]
fn after_a_minute_without_results_it_waits_another() {
    let mut walk = Walk::half_opened();
    for _ in 0..10 {
        assert_eq!(walk.pass(HALF_OPEN_UNDECIDED), None);
        assert_eq!(walk.state(), HalfOpen);
        assert_eq!(walk.breaker.next_change_in(walk.now), Some(HALF_OPEN_UNDECIDED));
    }
    assert_eq!(walk.calls(&[Success, Success]), walk.moved(HalfOpen, Closed));
}

#[test]
fn time_comes_before_a_result_that_arrives_with_it() {
    let mut walk = Walk::half_opened();
    assert_eq!(walk.calls(&[Success]), None);
    let late = walk.permit();
    walk.now += HALF_OPEN_UNDECIDED;
    assert_eq!(
        walk.record(late, Failure),
        walk.moved(HalfOpen, Closed),
        "as if ticked before"
    );
    assert_eq!(walk.breaker.snapshot(walk.now).consecutive_failures, 0);
}

#[test]
fn probes_that_never_came_back_give_their_places_up_after_a_minute() {
    let mut walk = Walk::half_opened();
    let (lost, slow) = (walk.permit(), walk.permit());
    let _ = walk.refused_for();
    assert_eq!(walk.pass(HALF_OPEN_UNDECIDED), None);
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(2));
    assert_eq!(
        (walk.record(lost, Failure), walk.record(slow, Failure)),
        (None, None)
    );
    assert_eq!(
        walk.calls(&[Success, Success]),
        walk.moved(HalfOpen, Closed),
        "their failures had no vote"
    );
}

#[test]
fn a_young_probe_keeps_its_place_and_vote_in_the_next_window() {
    let mut walk = Walk::half_opened();
    let _lost = walk.permit();
    assert_eq!(walk.pass(NANO), None);
    let young = walk.permit();
    walk.now += HALF_OPEN_UNDECIDED - NANO;
    assert_eq!(
        walk.breaker.capacity(walk.now),
        Capacity::Permits(1),
        "without a tick"
    );
    assert_eq!(walk.pass(Duration::ZERO), None);
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(1));
    assert_eq!(walk.record(young, Success), None);
    assert_eq!(walk.calls(&[Success]), walk.moved(HalfOpen, Closed));
}

#[test]
fn a_cancelled_probe_gives_its_place_back_and_has_no_vote() {
    let mut walk = Walk::half_opened();
    for _ in 0..100 {
        let probe = walk.permit();
        walk.breaker.cancel(probe);
    }
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(2));
    assert_eq!(walk.calls(&[Failure, Success]), None);
    assert_eq!(walk.calls(&[Success]), walk.moved(HalfOpen, Closed));
}

#[test]
fn a_cancelled_probe_of_an_earlier_round_frees_no_place() {
    let mut walk = Walk::half_opened();
    let stale = walk.permit();
    let _ = walk.calls(&[Success, Failure]);
    let _ = walk.pass(HALF_OPEN_UNDECIDED);
    let _ = walk.pass(SETTINGS.open * 2);
    let (_first, _second) = (walk.permit(), walk.permit());
    walk.breaker.cancel(stale);
    assert_eq!(walk.breaker.capacity(walk.now), Capacity::Permits(0));
}
