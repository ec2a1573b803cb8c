//! The rate limit headers.

use std::num::NonZeroUsize;
use std::time::Duration;

use trunkline_resilience::rate_limit::headers::{PolicyName, delay_seconds, rate_limit, rate_limit_policy};
use trunkline_resilience::{Quota, RateLimiter};

const SENDER: PolicyName = PolicyName::new("sender");
const IP: PolicyName = PolicyName::new("ip");

#[test]
fn one_policy() {
    let quota = Quota::per_minute(60).unwrap();
    let mut senders = RateLimiter::new(quota, NonZeroUsize::MIN);
    let decision = senders.check(&"+15550100", Duration::ZERO);
    assert_eq!(rate_limit_policy(&[(SENDER, quota)]), r#""sender";q=60;w=60"#);
    assert_eq!(
        rate_limit(&[(SENDER, decision.allowance())]),
        r#""sender";r=59;t=1"#
    );
}

#[test]
fn several_policies_are_one_list() {
    let (sixty, many) = (
        Quota::per_minute(60).unwrap(),
        Quota::per_minute(u32::MAX).unwrap(),
    );
    let full = RateLimiter::new(sixty, NonZeroUsize::MIN).allowance(&0, Duration::ZERO);
    assert_eq!(
        rate_limit_policy(&[(IP, many), (SENDER, sixty)]),
        r#""ip";q=4294967295;w=60, "sender";q=60;w=60"#
    );
    assert_eq!(
        rate_limit(&[(IP, full), (SENDER, full)]),
        r#""ip";r=60;t=0, "sender";r=60;t=0"#
    );
}

#[test]
fn nothing_to_tell() {
    assert_eq!(rate_limit_policy(&[]), "");
    assert_eq!(rate_limit(&[]), "");
}

#[test]
fn a_client_that_waits_as_told_is_let_through() {
    let quota = Quota::per_minute(7).unwrap();
    let mut senders = RateLimiter::new(quota, NonZeroUsize::MIN);
    let now = Duration::from_millis(123_456);
    while senders.check(&0, now).is_allowed() {}
    let told = delay_seconds(senders.allowance(&0, now).until_next);
    assert_eq!(
        rate_limit(&[(SENDER, senders.allowance(&0, now))]),
        r#""sender";r=0;t=9"#
    );
    assert!(senders.check(&0, now + Duration::from_secs(told)).is_allowed());
}

#[test]
fn seconds_are_rounded_up() {
    for (delay, seconds) in [
        (0, 0),
        (1, 1),
        (999_999_999, 1),
        (1_000_000_000, 1),
        (1_000_000_001, 2),
    ] {
        assert_eq!(delay_seconds(Duration::from_nanos(delay)), seconds);
    }
    assert_eq!(delay_seconds(Duration::MAX), u64::MAX);
}

#[test]
#[should_panic(expected = "a policy name is made of")]
fn a_name_that_would_need_escapes_is_refused() {
    let _ = PolicyName::new("sen\"der");
}
