//! The values of `RateLimit-Policy` and `RateLimit`, structured fields (RFC 9651) of the IETF draft "RateLimit header fields
//! for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! The syntax of the draft changed often. Since version 08 each policy is one list member. Since version 10 `t` is the time
//! until there is *more*, not until everything is back.

use std::fmt::Write;
use std::time::Duration;

use super::gcra::{Allowance, Quota, WINDOW};

/// The name of a policy in both headers. Its narrow alphabet needs no escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyName(&'static str);

impl PolicyName {
    /// For constants: `const SENDER: PolicyName = PolicyName::new("sender");`.
    ///
    /// # Panics
    /// When `name` is empty or has other characters than `a-z`, `0-9`, `-` and `_`; for a constant that stops the build.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "a policy needs a name");
        let mut i = 0;
        while i < bytes.len() {
            let allowed = bytes[i].is_ascii_lowercase() || bytes[i].is_ascii_digit();
            assert!(
                allowed || bytes[i] == b'-' || bytes[i] == b'_',
                "a policy name is made of a-z, 0-9, - and _"
            );
            i += 1;
        }
        Self(name)
    }
}

/// The value of `RateLimit-Policy`, such as `"sender";q=60;w=60`: q requests in w seconds. Empty without policies; leave
/// the header out then, since an empty list is not a valid value.
#[must_use]
pub fn rate_limit_policy(policies: &[(PolicyName, Quota)]) -> String {
    list(policies, |value, (PolicyName(name), quota)| {
        write!(value, "\"{name}\";q={};w={}", quota.count(), WINDOW.as_secs())
    })
}

/// The value of `RateLimit`, such as `"sender";r=59;t=1`: r requests are left, one more comes in t seconds (0 when full).
/// Empty without limits; leave the header out then.
#[must_use]
pub fn rate_limit(limits: &[(PolicyName, Allowance)]) -> String {
    list(limits, |value, (PolicyName(name), allowance)| {
        write!(
            value,
            "\"{name}\";r={};t={}",
            allowance.remaining,
            delay_seconds(allowance.until_next)
        )
    })
}

/// Whole seconds, rounded up, for `t` and `Retry-After` (RFC 9110, 10.2.3): a client that waits exactly this long is not too
/// early.
#[must_use]
pub fn delay_seconds(delay: Duration) -> u64 {
    delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0))
}

/// The usual length of a list member.
const MEMBER_LEN: usize = 32;

fn list<T>(members: &[T], render: impl Fn(&mut String, &T) -> std::fmt::Result) -> String {
    let mut value = String::with_capacity(MEMBER_LEN * members.len());
    for member in members {
        if !value.is_empty() {
            value.push_str(", ");
        }
        // Writing to a `String` cannot fail.
        let _ = render(&mut value, member);
    }
    value
}
