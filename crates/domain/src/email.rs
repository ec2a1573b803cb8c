use icu_normalizer::ComposingNormalizerBorrowed;

use crate::{address::WrongCharacter, phone::is_blank};

/// The longest local part (RFC 5321, 4.5.3.1.1), domain, and label of a domain (RFC 1035, 2.3.4), in bytes.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 254;
const LABEL_BYTES_MAX: usize = 63;

/// The address of `Name <address>` or `address (Name)`, as mail writes it; any other text without the blanks around it.
#[must_use]
pub fn without_display_name(text: &str) -> &str {
    let text = text.trim_matches(|character: char| character.is_whitespace() || is_blank(character));
    let commented = text.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    let uncommented = commented.map_or(text, |(rest, _)| rest.trim_end());
    let is_address = |candidate: &&str| normalized(candidate).is_ok();
    let address = match uncommented.strip_suffix('>') {
        // A `<` may also stand in the name, or in quotes in the address.
        Some(named) => named
            .match_indices('<')
            .map(|(at, _)| named[at + 1..].trim())
            .find(is_address),
        None => Some(uncommented).filter(is_address),
    };
    address.unwrap_or(text)
}

/// The addr-spec of RFC 5321 and 6531: lower case, composed (NFC, so that two spellings of `é` are one participant), without
/// its plus-tag unless nothing would be left, its domain in ASCII (RFC 5891). The error names the character that is
/// wrong, if one is.
pub(crate) fn normalized(text: &str) -> Result<String, Option<WrongCharacter>> {
    read(text).ok_or_else(|| wrong_character(text))
}

fn read(text: &str) -> Option<String> {
    let (given_local, given_domain) = text.rsplit_once('@')?;
    if !is_local(given_local) || !is_domain(given_domain) {
        return None;
    }
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let lower = given_local.to_lowercase();
    let local = nfc.normalize(&lower);
    let untagged = match local.split_once('+') {
        // A plus in quotes belongs to the name, and the rest must still be a local part.
        Some((name, _)) if !local.starts_with('"') && is_local(name) => name,
        _ => &local,
    };
    let domain = given_domain.to_lowercase();
    let domain = if domain.is_ascii() {
        domain
    } else {
        idna::domain_to_ascii(&domain).ok()?
    };
    // Unicode's tables turn some letters into several, into brackets and into spaces, so the result is checked again.
    (is_local(untagged) && is_domain(&domain)).then(|| format!("{untagged}@{domain}"))
}

fn wrong_character(text: &str) -> Option<WrongCharacter> {
    let at = text.rfind('@')?;
    let quoted = text.starts_with('"');
    let wrong = text.char_indices().find(|(index, character)| {
        let allowed = match *index {
            index if index < at => {
                quoted && *character != '@' && !character.is_control()
                    || *character == '.'
                    || is_atext(*character)
            }
            index if index > at => is_label_character(*character) || ".[]:".contains(*character),
            _ => true,
        };
        !allowed
    });
    wrong.map(|(index, character)| WrongCharacter {
        character,
        position: text[..index].chars().count() + 1,
    })
}

/// A dot-atom or a quoted string (RFC 5322, 3.2.3 and 3.2.4).
fn is_local(text: &str) -> bool {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let valid = match quoted {
        Some(content) => is_quoted_content(content),
        None => text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    };
    valid && text.len() <= LOCAL_BYTES_MAX
}

fn is_quoted_content(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let valid = match character {
            '"' => false,
            '\\' => characters
                .next()
                .is_some_and(|escaped| escaped.is_ascii_graphic()),
            ' ' => true,
            _ => character.is_ascii_graphic() || is_beyond_ascii(character),
        };
        if !valid {
            return false;
        }
    }
    !text.is_empty()
}

/// Labels, or a literal in brackets (RFC 5321, 4.1.3).
fn is_domain(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match literal {
        Some(literal) => {
            let allowed = |character: char| character.is_ascii_graphic() && !r"[\]".contains(character);
            !literal.is_empty() && literal.chars().all(allowed)
        }
        None => text.split('.').all(is_label),
    };
    valid && text.len() <= DOMAIN_BYTES_MAX
}

/// Letters, digits, hyphens between them, and the underscore that some hosts have. Marks beyond ASCII count as letters.
fn is_label(text: &str) -> bool {
    let is_edge = |character: char| is_label_character(character) && !"-_".contains(character);
    (!text.is_ascii() || (1..=LABEL_BYTES_MAX).contains(&text.len()))
        && text.chars().all(is_label_character)
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
}

fn is_label_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_".contains(character) || is_beyond_ascii(character)
}

fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(character)
        || is_beyond_ascii(character)
}

/// RFC 6532 allows all of Unicode. What cannot be seen could pass one address off as another; the joiners alone belong to
/// words, of Persian and of India.
fn is_beyond_ascii(character: char) -> bool {
    let joiner = matches!(character, '\u{200c}' | '\u{200d}');
    !character.is_ascii()
        && !character.is_control()
        && !character.is_whitespace()
        && (joiner || !is_blank(character))
}
