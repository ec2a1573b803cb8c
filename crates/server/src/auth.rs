use std::fmt;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{App, problem::Problem};

/// Paths that need no key, for probes.
pub(crate) const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// The API keys. Only their SHA-256 is kept: a memory dump shows no key, and all have the same length.
#[derive(Clone)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// `None` without keys: the API is then open.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let digests: Vec<[u8; 32]> = keys.into_iter().map(|key| Sha256::digest(key).into()).collect();
        (!digests.is_empty()).then_some(Self(digests))
    }

    /// Compares with every key in constant time, so that the time reveals nothing about a key.
    fn contains(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        self.0
            .iter()
            .fold(Choice::from(0), |found, known| found | known.ct_eq(&digest))
            .into()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

/// Refuses requests without a valid key, if there are keys.
pub(crate) fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let Some(keys) = &app.settings().api_keys else {
        return Ok(());
    };
    let open = OPEN_PATHS.contains(&request.uri().path())
        || bearer(request.headers()).is_some_and(|key| keys.contains(key));
    if open {
        Ok(())
    } else {
        Err(Problem::unauthorized())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_keys_open_and_none_shows() {
        let keys = ApiKeys::new(["first-key", "second-key"]).unwrap();
        assert!(keys.contains("first-key") && keys.contains("second-key"));
        assert!(!keys.contains("first-ke") && !keys.contains("") && !keys.contains("first-key "));
        assert_eq!(format!("{keys:?}"), "ApiKeys(2)");
        assert!(ApiKeys::new([]).is_none());
    }
}
