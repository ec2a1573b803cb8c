use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};
use thiserror::Error;
use uuid::{Builder, Uuid};

use crate::{Entropy, Timestamp};

/// A UUID of version 7 (RFC 9562). The twelve bits after the milliseconds carry the microseconds (section 6.2, method 3), so
/// that ids sort by `processed_at` and listing the newest first needs no second index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId(Uuid);

impl MessageId {
    #[must_use]
    pub fn mint(now: Timestamp, entropy: &Entropy) -> Self {
        Self::of(now, entropy.next_u64())
    }

    /// The lowest id of a message that is processed at this time or later.
    #[must_use]
    pub fn lowest_since(time: Timestamp) -> Self {
        Self::of(time, 0)
    }

    fn of(time: Timestamp, random: u64) -> Self {
        let micros = u64::try_from(time.as_micros()).unwrap_or(0);
        let fraction = u16::try_from((micros % 1_000) * 4_096 / 1_000).unwrap_or(0);
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&fraction.to_be_bytes());
        tail[2..].copy_from_slice(&random.to_be_bytes());
        Self(Builder::from_unix_timestamp_millis(micros / 1_000, &tail).into_uuid())
    }

    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// A UUID of version 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WebhookEndpointId(Uuid);

impl WebhookEndpointId {
    #[must_use]
    pub fn mint(now: Timestamp, entropy: &Entropy) -> Self {
        Self(MessageId::mint(now, entropy).0)
    }

    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for WebhookEndpointId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for WebhookEndpointId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id = text.parse::<MessageId>().map(|id| Self(id.0));
        id.map_err(|_| InvalidId("the id of a webhook endpoint is a UUID, in lower case, with dashes"))
    }
}

impl fmt::Display for WebhookEndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for WebhookEndpointId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
        let id = Uuid::try_parse(text).ok().map(Self);
        // The parser takes other spellings of a UUID; an id has exactly one.
        id.filter(|id| id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text)
            .ok_or(InvalidId("a message id is a UUID, in lower case, with dashes"))
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

/// 1, 2, 3 … in the order of creation, possibly with gaps. Serialized as a string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConversationId(i64);

impl ConversationId {
    /// `None` unless the number is positive.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for ConversationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The parser takes a sign and leading zeros; an id has exactly one spelling.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = text.parse().ok().filter(|_| plain);
        number.and_then(Self::new).ok_or(InvalidId(
            "a conversation id is a positive integer, without leading zeros",
        ))
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

/// Fences an outbox entry: it grows with every lease, and only the holder of the latest may change the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseToken(pub i64);

/// 1 to 32 lower-case letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProviderName(Arc<str>);

impl ProviderName {
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

/// A provider's id for a message: 1 to 255 characters without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct ProviderMessageId(Box<str>);

impl ProviderMessageId {
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
                "a provider message id has 1 to 255 characters without control characters",
            ))
        }
    }
}

/// Says what a valid id looks like.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidId(pub(crate) &'static str);

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
        for (micros, pair) in (1_700_000_000_000_001..).zip(ids.windows(2)) {
            let lowest = MessageId::lowest_since(Timestamp::from_micros(micros).unwrap());
            assert!(pair[0] < lowest && lowest <= pair[1]);
        }
        assert_eq!(ids[0].as_uuid().get_version_num(), 7);
        assert_eq!(ids[0].to_string().parse(), Ok(ids[0]));
    }

    #[test]
    fn a_message_id_has_one_spelling() {
        let id = "0190a5d4-7b3c-7def-8123-456789abcdef";
        assert_eq!(id.parse::<MessageId>().unwrap().to_string(), id);
        for text in [
            "",
            "0190A5D4-7B3C-7DEF-8123-456789ABCDEF",
            "0190a5d4-7b3c-7def-8123-456789abcdeF",
            "0190a5d47b3c7def8123456789abcdef",
            "{0190a5d4-7b3c-7def-8123-456789abcdef}",
            "urn:uuid:0190a5d4-7b3c-7def-8123-456789abcdef",
            " 0190a5d4-7b3c-7def-8123-456789abcdef",
            "0190a5d4-7b3c-7def-8123-456789abcdef ",
            "0190a5d4-7b3c-7def-8123-456789abcde",
            "0190a5d4\u{2010}7b3c\u{2010}7def\u{2010}8123\u{2010}456789abcdef",
            "\u{ff10}190a5d4-7b3c-7def-8123-456789abcdef",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_conversation_id_has_one_spelling() {
        for id in ["1", "10", "9223372036854775807"] {
            assert_eq!(id.parse::<ConversationId>().unwrap().to_string(), id);
        }
        for text in [
            "",
            "0",
            "00",
            "01",
            "0010",
            "+1",
            "-1",
            "-0",
            " 1",
            "1 ",
            "1\n",
            "1.0",
            "1e0",
            "0x1",
            "1_000",
            "\u{ff11}",
            "\u{661}",
            "one",
            "9223372036854775808",
            "99999999999999999999",
        ] {
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
