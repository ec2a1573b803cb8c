use std::str::FromStr;

use thiserror::Error;

/// Which participants a route is for. `*` stands for any run of characters, also none; the rest is compared with
/// the normalized participant: `+1*`, `*@example.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use a pattern such as \"+1*\" or \"*@example.com\"")]
pub struct EmptyPattern;

impl FromStr for Pattern {
    type Err = EmptyPattern;

    /// Normalized participants are in lower case, and so is the pattern.
    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        let text = text.trim();
        if text.is_empty() {
            Err(EmptyPattern)
        } else {
            Ok(Self(text.to_lowercase()))
        }
    }
}

impl Pattern {
    #[must_use]
    pub fn matches(&self, participant: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return self.0 == participant;
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut left) = participant
            .strip_prefix(start)
            .and_then(|left| left.strip_suffix(end))
        else {
            return false;
        };
        // The earliest place for each part leaves the most room for those after it.
        middle.split('*').all(|part| match left.split_once(part) {
            Some((_, after)) => {
                left = after;
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, matching, other) in [
            ("+1*", &["+1", "+12025550123"][..], &["1", "+44", ""][..]),
            (
                "*@Example.com",
                &["a@example.com", "@example.com"],
                &["a@example.com.au", "a@b"],
            ),
            ("+1*99", &["+199", "+1299"], &["+19", "+1990"]),
            ("*", &["", "acme"], &[]),
            ("12345", &["12345"], &["123456", "012345"]),
            ("a*b*a", &["aba", "axbxa"], &["aa", "ab", "aab"]),
            ("*ab*b*", &["abb", "xabxb"], &["ab", "bab"]),
            ("a**b", &["ab", "axb"], &["a"]),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            for (texts, expected) in [(matching, true), (other, false)] {
                for text in texts {
                    assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
                }
            }
        }
        assert_eq!(" ".parse::<Pattern>(), Err(EmptyPattern));
    }
}
