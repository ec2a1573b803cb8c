use std::fmt;

use email_address::{EmailAddress, Options};
use serde::Serialize;
use thiserror::Error;

use crate::{Channel, ConversationChannel, Region};

/// A phone number or email address: the form in which it was given, and the participant it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// As it came, to be kept, returned and handed to providers.
    pub given: GivenAddress,
    /// Who it is.
    pub participant: Participant,
}

/// An address in the form in which it was given. Masked in Debug.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct GivenAddress(Box<str>);

/// One side of a conversation: an address in normalized form, by which conversations are found. Masked in Debug.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Participant(Box<str>);

/// Text that is no address of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a phone number.
    #[error(
        "use a phone number of 7 to 15 digits with an optional leading '+' (spaces, '-', '.', '(' and ')' may \
         separate them), or a short code of 3 to 6 digits"
    )]
    Phone,
    /// Neither a phone number nor the name of a sender.
    #[error(
        "use a phone number of 7 to 15 digits with an optional leading '+', a short code of 3 to 6 digits, or a \
         sender name of 1 to 11 letters, digits, '-', '_', '.' and '&' with at least one letter"
    )]
    PhoneSender,
    /// Not an email address.
    #[error("use an email address such as name@example.com, without a display name")]
    Email,
}

impl Address {
    /// Reads the address a message comes from. On SMS and MMS it may be an alphanumeric sender name.
    ///
    /// # Errors
    /// When the text is no sender on this channel; the error says what one looks like.
    pub fn sender(channel: Channel, text: &str, region: Option<Region>) -> Result<Self, AddressError> {
        let participant = match channel.conversation() {
            ConversationChannel::Sms => phone(text, region)
                .or_else(|| sender_name(text))
                .ok_or(AddressError::PhoneSender),
            ConversationChannel::Email => email(text).ok_or(AddressError::Email),
        };
        participant.map(|participant| Self::of(text, participant))
    }

    /// Reads the address a message goes to.
    ///
    /// # Errors
    /// When the text is no recipient on this channel; the error says what one looks like.
    pub fn recipient(channel: Channel, text: &str, region: Option<Region>) -> Result<Self, AddressError> {
        let participant = match channel.conversation() {
            ConversationChannel::Sms => phone(text, region).ok_or(AddressError::Phone),
            ConversationChannel::Email => email(text).ok_or(AddressError::Email),
        };
        participant.map(|participant| Self::of(text, participant))
    }

    fn of(given: &str, participant: String) -> Self {
        Self {
            given: GivenAddress(given.into()),
            participant: Participant(participant.into()),
        }
    }
}

impl GivenAddress {
    /// What a store kept of an address that was checked when it came in.
    #[must_use]
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Participant {
    /// Reads a participant in any formatting and on either channel, as people type it into a search.
    #[must_use]
    pub fn find(text: &str, region: Option<Region>) -> Option<Self> {
        let normalized = if text.contains('@') {
            email(text)
        } else {
            phone(text, region).or_else(|| sender_name(text))
        };
        normalized.map(|text| Self(text.into()))
    }

    /// What a store kept of a participant that was normalized when it came in.
    #[must_use]
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The normalized text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest phone number as given, separators included.
const PHONE_BYTES_MAX: usize = 64;

/// `+?` and 7 to 15 digits (E.164 allows no more) with separators, or a short code of 3 to 6 bare digits.
fn phone(text: &str, region: Option<Region>) -> Option<String> {
    if text.len() > PHONE_BYTES_MAX {
        return None;
    }
    let mut normalized = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' => normalized.push(character),
            '+' if normalized.is_empty() => normalized.push('+'),
            ' ' | '-' | '.' | '(' | ')' => {}
            _ => return None,
        }
    }
    let international = normalized.starts_with('+');
    let digits = normalized.len() - usize::from(international);
    match digits {
        7..=15 if international => Some(normalized),
        7..=15 => Some(
            region
                .and_then(|region| region.internationalize(&normalized))
                .unwrap_or(normalized),
        ),
        3..=6 if text == normalized && !international => Some(normalized),
        _ => None,
    }
}

/// An alphanumeric sender: 1 to 11 letters, digits and `-_.&` with at least one letter, folded to lower case.
fn sender_name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.&".contains(&byte);
    let valid = (1..=11).contains(&text.len())
        && text.bytes().all(allowed)
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    valid.then(|| text.to_ascii_lowercase())
}

/// The addr-spec of RFC 5321 and 5322, lower-cased, its plus-tag dropped unless nothing would be left, an
/// internationalized domain in its ASCII form (RFC 5891).
fn email(text: &str) -> Option<String> {
    let parsed = addr_spec(text)?;
    // The parser follows RFC 5322 in letting white space surround the parts; RFC 5321 and people do not.
    if text.contains(|character: char| character.is_control()) || text != text.trim() {
        return None;
    }
    let local = parsed.local_part().to_lowercase();
    let untagged = match local.split_once('+') {
        // A plus inside a quoted local part belongs to the name, and what is left must still be a local part.
        Some((name, _)) if !local.starts_with('"') && EmailAddress::is_valid_local_part(name) => name,
        _ => &local,
    };
    let domain = parsed.domain().to_lowercase();
    let domain = if domain.is_ascii() {
        domain
    } else {
        idna::domain_to_ascii(&domain).ok()?
    };
    let normalized = format!("{untagged}@{domain}");
    // Case and domains are mapped by tables of Unicode, which turn some letters into several, into brackets and into
    // spaces: a participant must be an address too.
    addr_spec(&normalized).is_some().then_some(normalized)
}

fn addr_spec(text: &str) -> Option<EmailAddress> {
    let options = Options::default().without_display_text().with_domain_literal();
    EmailAddress::parse_with_options(text, options).ok()
}

impl fmt::Debug for GivenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenAddress(***)")
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Participant(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(channel: Channel, text: &str) -> Result<String, AddressError> {
        Address::sender(channel, text, None).map(|address| address.participant.as_str().to_owned())
    }

    #[test]
    fn phones_keep_digits_and_a_leading_plus() {
        let cases = [
            ("+12016661234", "+12016661234"),
            ("+1 (201) 666-1234", "+12016661234"),
            (" +1.201.666.1234 ", "+12016661234"),
            ("(+1) 201 666 1234", "+12016661234"),
            ("1 (201) 666-1234", "12016661234"),
            ("2016661234", "2016661234"),
            ("5551234", "5551234"),
            ("123456789012345", "123456789012345"),
            ("12345", "12345"),
            ("911", "911"),
        ];
        for (given, expected) in cases {
            assert_eq!(
                participant(Channel::Sms, given).as_deref(),
                Ok(expected),
                "{given}"
            );
            let address = Address::recipient(Channel::Mms, given, None).unwrap();
            assert_eq!(address.given.as_str(), given);
        }
    }

    #[test]
    fn what_is_no_phone_is_refused() {
        let cases = [
            "",
            "+",
            "12",
            "12-34",
            "+12345",
            "1234567890123456",
            "12+3456789",
            "++12016661234",
            "+1202555010a",
            "201/6661234",
            "201\t6661234",
            "\u{ff11}2016661234",
            "2016661234\0",
            "a@example.com",
            &format!("2016661234{}", " ".repeat(PHONE_BYTES_MAX)),
        ];
        for given in cases {
            assert_eq!(
                Address::recipient(Channel::Sms, given, None),
                Err(AddressError::Phone),
                "{given}"
            );
        }
    }

    #[test]
    fn only_senders_have_names() {
        assert_eq!(
            participant(Channel::Sms, "AT&T_2.0-x").as_deref(),
            Ok("at&t_2.0-x")
        );
        assert_eq!(
            Address::recipient(Channel::Sms, "Acme", None),
            Err(AddressError::Phone)
        );
        for given in ["TwelveLetter", "A B", "--", "M\u{fc}ller", ""] {
            assert_eq!(
                participant(Channel::Sms, given),
                Err(AddressError::PhoneSender),
                "{given}"
            );
        }
    }

    #[test]
    fn a_default_region_makes_national_forms_one_participant() {
        let us = Some("US".parse().unwrap());
        for given in ["2016661234", "1 (201) 666-1234", "+12016661234", "201-666-1234"] {
            let address = Address::recipient(Channel::Sms, given, us).unwrap();
            assert_eq!(address.participant.as_str(), "+12016661234", "{given}");
        }
        for untouched in ["12345", "5551234", "442071838750"] {
            assert_eq!(
                Address::recipient(Channel::Sms, untouched, us)
                    .unwrap()
                    .participant
                    .as_str(),
                untouched
            );
        }
    }

    #[test]
    fn emails_fold_case_plus_tags_and_international_domains() {
        let cases = [
            ("User@Example.COM", "user@example.com"),
            ("user+news@example.com", "user@example.com"),
            ("user+a+b@example.com", "user@example.com"),
            ("+tag@example.com", "+tag@example.com"),
            ("a.+tag@example.com", "a.+tag@example.com"),
            ("\"a+b\"@example.com", "\"a+b\"@example.com"),
            ("u@B\u{dc}CHER.example", "u@xn--bcher-kva.example"),
            ("user@localhost", "user@localhost"),
            ("user@[127.0.0.1]", "user@[127.0.0.1]"),
        ];
        for (given, expected) in cases {
            assert_eq!(
                participant(Channel::Email, given).as_deref(),
                Ok(expected),
                "{given}"
            );
        }
        for given in [
            "",
            "user",
            "@example.com",
            "user@",
            "a b@example.com",
            " a@example.com",
            "Al <a@example.com>",
            "a@b@example.com",
            "a@example..com",
            "a\0@example.com",
            "2016661234",
            // What these stand for in a domain: (1), and words with spaces between them.
            "a@b\u{2474}.com",
            "a@\u{fdfa}.com",
            // Longer in lower case than it may be.
            &format!("{}@example.com", "\u{23a}".repeat(32)),
        ] {
            assert_eq!(
                participant(Channel::Email, given),
                Err(AddressError::Email),
                "{given}"
            );
        }
    }

    #[test]
    fn searching_takes_any_formatting() {
        assert_eq!(
            Participant::find("+1 (201) 666-1234", None).unwrap().as_str(),
            "+12016661234"
        );
        assert_eq!(
            Participant::find("A+tag@Example.com", None).unwrap().as_str(),
            "a@example.com"
        );
        assert_eq!(Participant::find("Acme", None).unwrap().as_str(), "acme");
        assert_eq!(Participant::find("no such thing", None), None);
    }

    #[test]
    fn addresses_never_show_in_debug() {
        let address = Address::sender(Channel::Email, "someone@example.com", None).unwrap();
        assert!(!format!("{address:?}").contains("someone"));
    }
}
