use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// A client's key for one request: 1 to 255 visible ASCII characters. Masked in Debug.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Box<str>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use 1 to 255 visible ASCII characters without spaces, bare or as one quoted string")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    pub const CHARS_MAX: usize = 255;

    /// Without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdempotencyKeyError;

    /// Reads the value of the header: a quoted string (RFC 9651), as draft-ietf-httpapi-idempotency-key-header demands, or the
    /// bare key, as most clients send it.
    fn from_str(text: &str) -> Result<Self, IdempotencyKeyError> {
        let key = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(IdempotencyKeyError)?,
            None => text.to_owned(),
        };
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=Self::CHARS_MAX).contains(&key.len()) {
            Ok(Self(key.into()))
        } else {
            Err(IdempotencyKeyError)
        }
    }
}

/// Reads a quoted string after its opening quote. `\"` and `\\` are the only escapes.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(
                characters
                    .next()
                    .filter(|character| matches!(character, '"' | '\\'))?,
            ),
            character => key.push(character),
        }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(***)")
    }
}

/// SHA-256 over the parsed fields of a request. Two requests with one key must have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// An absent field differs from an empty one, and no two lists give the same bytes.
    #[must_use]
    pub fn of<'a>(fields: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hash = Sha256::new();
        for field in fields {
            match field {
                None => hash.update([0]),
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
            }
        }
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        for (given, key) in [
            ("abc-1", "abc-1"),
            ("\"abc-1\"", "abc-1"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a\"b", "a\"b"),
        ] {
            assert_eq!(given.parse::<IdempotencyKey>().unwrap().as_str(), key);
        }
        let long = "k".repeat(255);
        assert!(long.parse::<IdempotencyKey>().is_ok());
        assert!(format!("\"{long}\"").parse::<IdempotencyKey>().is_ok());
    }

    #[test]
    fn an_invalid_key_is_refused() {
        let long = "k".repeat(256);
        for given in [
            "",
            "\"\"",
            "\"abc",
            "\"a\"b",
            "a b",
            "\"a b\"",
            "caf\u{e9}",
            "a\tb",
            r#""a\b""#,
            &long,
        ] {
            assert!(given.parse::<IdempotencyKey>().is_err(), "{given}");
        }
    }

    #[test]
    fn different_fields_have_different_fingerprints() {
        let lists: [&[Option<&str>]; 5] = [
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc")],
            &[Some("abc"), None],
            &[Some("abc"), Some("")],
        ];
        for (i, one) in lists.iter().enumerate() {
            for other in &lists[i + 1..] {
                assert_ne!(
                    Fingerprint::of(one.iter().copied()),
                    Fingerprint::of(other.iter().copied())
                );
            }
        }
    }
}
