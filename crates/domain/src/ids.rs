use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};
use thiserror::Error;
use uuid::{Builder, Uuid};

use crate::{Entropy, Timestamp};

/// The id of a message: a UUID of version 7 (RFC 9562), so that ids sort by the time at which messages were processed.
///
/// The twelve bits after the milliseconds carry the microseconds (section 6.2, method 3 of the RFC): the order of ids is
/// the order of `processed_at`, and no second index is needed to list the newest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId(Uuid);

impl MessageId {
    /// A new id for a message processed at `now`.
    #[must_use]
    pub fn mint(now: Timestamp, entropy: &Entropy) -> Self {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        let fraction = u16::try_from((micros % 1_000) * 4_096 / 1_000).unwrap_or(0);
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&fraction.to_be_bytes());
        tail[2..].copy_from_slice(&entropy.next_u64().to_be_bytes());
        Self(Builder::from_unix_timestamp_millis(micros / 1_000, &tail).into_uuid())
    }

    /// The id as the databases keep it.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for MessageId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidId("a message id is a UUID"))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The id of a conversation: 1, 2, 3 … in the order of creation, possibly with gaps. Shown as a string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConversationId(i64);

impl ConversationId {
    /// `None` unless the number is positive.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The id as the databases keep it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for ConversationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits_only { text.parse().ok() } else { None };
        number
            .and_then(Self::new)
            .ok_or(InvalidId("a conversation id is a positive integer"))
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ConversationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What fences an outbox entry: it grows with every lease, and only its latest holder may change the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseToken(pub i64);

/// The name of a provider: 1 to 32 lower-case letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProviderName(Arc<str>);

impl ProviderName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId(
                "a provider name has 1 to 32 lower-case letters, digits and '-'",
            ))
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ProviderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The id a provider gave an inbound message, by which repeats are recognized: 1 to 255 characters, none of them a
/// control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProviderMessageId(Box<str>);

impl ProviderMessageId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderMessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId(
                "a provider message id has 1 to 255 characters, none of them a control character",
            ))
        }
    }
}

/// An id that is not one; the text says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_sort_by_microseconds() {
        let entropy = Entropy::from_seed(1);
        let ids: Vec<_> = (1_700_000_000_000_000..1_700_000_000_002_500)
            .map(|micros| MessageId::mint(Timestamp::from_micros(micros).unwrap(), &entropy))
            .collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].as_uuid().get_version_num(), 7);
        assert_eq!(ids[0].to_string().parse(), Ok(ids[0]));
    }

    #[test]
    fn conversation_ids_are_positive_integers() {
        assert_eq!("1".parse(), Ok(ConversationId(1)));
        for text in ["", "0", "-1", "+1", "1.0", "one", "99999999999999999999"] {
            assert!(text.parse::<ConversationId>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_provider_message_ids_are_bounded() {
        assert!("sms-mms".parse::<ProviderName>().is_ok());
        for text in ["", "SMS", "a b", &"x".repeat(33)] {
            assert!(text.parse::<ProviderName>().is_err(), "{text}");
        }
        assert!("message-1 <a@b>".parse::<ProviderMessageId>().is_ok());
        for text in ["", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(text.parse::<ProviderMessageId>().is_err(), "{text}");
        }
    }
}
