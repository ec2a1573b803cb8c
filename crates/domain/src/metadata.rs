use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use thiserror::Error;

/// Names and values that a client attaches to a message and gets back with it.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metadata(BTreeMap<String, String>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetadataError {
    #[error("has more than {} entries: leave some out", Metadata::ENTRIES_MAX)]
    TooMany,
    #[error(
        "is longer than {} bytes, names and values together: shorten it",
        Metadata::BYTES_MAX
    )]
    TooLong,
    #[error("must not contain the character NUL")]
    Nul,
}

impl Metadata {
    pub const ENTRIES_MAX: usize = 16;
    /// UTF-8 bytes of all names and values.
    pub const BYTES_MAX: usize = 2_048;

    /// # Errors
    /// When there is too much, or a text cannot be stored.
    pub fn new(entries: BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let metadata = Self(entries);
        if metadata.0.len() > Self::ENTRIES_MAX {
            return Err(MetadataError::TooMany);
        }
        if metadata.bytes() > Self::BYTES_MAX {
            return Err(MetadataError::TooLong);
        }
        let texts = || metadata.0.iter().flat_map(|(name, value)| [name, value]);
        // PostgreSQL cannot store it.
        if texts().any(|text| text.contains('\0')) {
            return Err(MetadataError::Nul);
        }
        Ok(metadata)
    }

    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Shows no text: it may say anything about a person.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} entries)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: impl IntoIterator<Item = (String, String)>) -> Result<Metadata, MetadataError> {
        Metadata::new(entries.into_iter().collect())
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let entry = |number: usize| (format!("name-{number}"), String::new());
        assert!(of((0..16).map(entry)).is_ok());
        assert_eq!(of((0..17).map(entry)), Err(MetadataError::TooMany));
        let long = |bytes: usize| of([("n".to_owned(), "x".repeat(bytes - 1))]);
        assert!(long(2_048).is_ok());
        assert_eq!(long(2_049), Err(MetadataError::TooLong));
        assert_eq!(of([("a\0".to_owned(), String::new())]), Err(MetadataError::Nul));
    }

    #[test]
    fn bytes_count_not_characters() {
        assert_eq!(
            of([("é".repeat(1_025), String::new())]),
            Err(MetadataError::TooLong)
        );
    }
}
