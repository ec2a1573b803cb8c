use std::{fmt, ops::RangeInclusive};

use serde::Serialize;
use thiserror::Error;

use crate::{Channel, ConversationChannel, Region, email, phone};

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

/// Text that is not an address of its channel, and the character that is wrong, if one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error(
        "{}use a phone number of 7 to 15 digits with an optional leading '+' (spaces, '-', '.', '(' and ')' may \
         separate them), or a short code of 2 to 6 digits",
        reason(.0)
    )]
    Phone(Option<WrongCharacter>),
    #[error(
        "{}use a phone number of 7 to 15 digits with an optional leading '+', a short code of 2 to 6 digits, or a \
         sender name of 1 to 11 letters, digits, spaces and - _ . & + ! * ? with at least one letter",
        reason(.0)
    )]
    PhoneSender(Option<WrongCharacter>),
    #[error("{}use an email address such as name@example.com, without a display name", reason(.0))]
    Email(Option<WrongCharacter>),
}

/// A character that an address cannot have there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongCharacter {
    pub character: char,
    /// Counted in characters, from 1.
    pub position: usize,
}

fn reason(wrong: &Option<WrongCharacter>) -> String {
    wrong.map_or_else(String::new, |wrong| format!("{wrong} is not allowed there; "))
}

/// `'/' (character 4)`, or `U+200B (character 4)` for what does not print.
impl fmt::Display for WrongCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { character, position } = self;
        let prints = character.is_ascii_graphic()
            || !character.is_whitespace() && character.escape_debug().count() == 1;
        if prints {
            write!(f, "'{character}' (character {position})")
        } else {
            write!(f, "U+{:04X} (character {position})", u32::from(*character))
        }
    }
}

impl Address {
    /// Reads the address a message comes from. On SMS and MMS it may be an alphanumeric sender name.
    ///
    /// # Errors
    /// When the text is no sender on this channel; the error says what one looks like.
    pub fn sender(channel: Channel, text: &str, region: Option<Region>) -> Result<Self, AddressError> {
        let participant = match channel.conversation() {
            ConversationChannel::Sms => phone::normalized(text, region)
                .or_else(|wrong| sender_name(text).ok_or_else(|| wrong_in_sender(text, wrong)))
                .map_err(AddressError::PhoneSender),
            ConversationChannel::Email => email::normalized(text).map_err(AddressError::Email),
        };
        participant.map(|participant| Self::of(text, participant))
    }

    /// Reads the address a message goes to.
    ///
    /// # Errors
    /// When the text is no recipient on this channel; the error says what one looks like.
    pub fn recipient(channel: Channel, text: &str, region: Option<Region>) -> Result<Self, AddressError> {
        let participant = match channel.conversation() {
            ConversationChannel::Sms => phone::normalized(text, region).map_err(AddressError::Phone),
            ConversationChannel::Email => email::normalized(text).map_err(AddressError::Email),
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
            email::normalized(text).ok()
        } else {
            phone::normalized(text, region).ok().or_else(|| sender_name(text))
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

const SENDER_NAME_CHARS: RangeInclusive<usize> = 1..=11;

/// The name of a sender, folded to lower case.
fn sender_name(text: &str) -> Option<String> {
    let valid = SENDER_NAME_CHARS.contains(&text.len())
        && text.chars().all(is_in_sender_name)
        && text.contains(|character: char| character.is_ascii_alphabetic());
    valid.then(|| text.to_ascii_lowercase())
}

fn is_in_sender_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || " -_.&+!*?".contains(character)
}

/// Text with letters is meant as a name, unless it begins as a number and is too long for a name. Other text is meant as a
/// number.
fn wrong_in_sender(text: &str, wrong_in_number: Option<WrongCharacter>) -> Option<WrongCharacter> {
    let is_long = text.chars().count() > *SENDER_NAME_CHARS.end();
    let is_number = is_long && text.starts_with(|first: char| first == '+' || first.is_numeric());
    if is_number || !text.contains(char::is_alphabetic) {
        return wrong_in_number;
    }
    let wrong = text
        .chars()
        .enumerate()
        .find(|(_, character)| !is_in_sender_name(*character));
    wrong.map(|(index, character)| WrongCharacter {
        character,
        position: index + 1,
    })
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
