//! How a client is told its limits: the values of `RateLimit-Policy` and `RateLimit`, as structured fields
//! (RFC 9651) of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! The draft has changed its syntax often. This is the form with one list member a policy, since version 08;
//! since version 10, `t` is the time until there is *more*, no longer the time until everything is back.

use std::fmt::Write;
use std::time::Duration;

use super::gcra::{Allowance, Quota, WINDOW};

/// The name a policy has in both headers. Written without escapes, hence the narrow alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyName(&'static str);

impl PolicyName {
    /// Meant for constants: `const SENDER: PolicyName = PolicyName::new("sender");`.
    ///
    /// # Panics
    /// When `name` is empty or holds anything but `a-z`, `0-9`, `-` and `_`; for a constant that stops the build.
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

/// The value of `RateLimit-Policy`: what is allowed in principle, as `"sender";q=60;w=60`, q in requests and w in
/// seconds. Empty for no policies; the header must then be left out, for an empty list is not a valid value.
#[must_use]
pub fn rate_limit_policy(policies: &[(PolicyName, Quota)]) -> String {
    list(policies, |value, (PolicyName(name), quota)| {
        write!(value, "\"{name}\";q={};w={}", quota.count(), WINDOW.as_secs())
    })
}

/// The value of `RateLimit`: what is left right now, as `"sender";r=59;t=1`, r in requests and t in seconds until
/// there is one more (0 when full). Empty for no limits; the header must then be left out.
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

/// Whole seconds, rounded up, as `t` and `Retry-After` want them (RFC 9110, 10.2.3): a client that waits exactly
/// that long must not come too early. Use it for both, for `Retry-After` must not be the earlier one.
#[must_use]
pub fn delay_seconds(delay: Duration) -> u64 {
    delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0))
}

/// About as long as a member is.
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
