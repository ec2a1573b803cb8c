use trunkline_domain::{
    Address, AddressError, Channel, ConversationChannel, ConversationKey, Participant, Region,
    without_display_name,
};

const PHONE_CHARS_MAX: usize = 64;
/// The longest part before the `@`, the longest domain and the longest part of one, in bytes (RFC 5321, 4.5.3.1, and
/// RFC 1035, 2.3.4).
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 254;
const LABEL_BYTES_MAX: usize = 63;

/// The last digits of a number are the same in all its forms.
const SUBSCRIBER_DIGITS_MIN: usize = 3;

/// Any text.
pub fn of_text(text: &str) {
    for channel in Channel::ALL {
        let sender = Address::sender(*channel, text, None);
        let recipient = Address::recipient(*channel, text, None);
        for address in [&sender, &recipient].into_iter().flatten() {
            assert_eq!(address.given.as_str(), text, "the given form is kept");
            found_again(*channel, address, None);
        }
        for error in [&sender, &recipient]
            .into_iter()
            .filter_map(|read| read.as_ref().err())
        {
            names_a_character(text, *error);
        }
        match channel.conversation() {
            ConversationChannel::Sms => {
                let (phone, name) = (phone(text), sender_name(text));
                assert_eq!(normalized(&recipient), phone);
                assert_eq!(normalized(&sender), phone.or(name));
            }
            ConversationChannel::Email => {
                assert_eq!(sender, recipient);
                of_display_name(text, sender.is_ok());
                of_email(text, &normalized(&sender));
            }
        }
    }
}

/// Any text with a default region, which completes a number and never refuses one.
pub fn of_text_in(text: &str, region: Region) {
    let without = Address::recipient(Channel::Sms, text, None);
    let within = Address::recipient(Channel::Sms, text, Some(region));
    assert!(without.is_err() || within.is_ok());
    let Ok(within) = within else { return };
    found_again(Channel::Sms, &within, Some(region));
    let Ok(without) = without else {
        assert!(
            within.participant.as_str().starts_with('+'),
            "an international prefix counts as no digit"
        );
        return;
    };
    let (before, after) = (without.participant.as_str(), within.participant.as_str());
    if before != after {
        assert!(
            !text.contains(['+', '\u{ff0b}']),
            "an international number is left alone"
        );
        let end = &before[before.len() - SUBSCRIBER_DIGITS_MIN..];
        assert!(
            after.starts_with('+') && after.ends_with(end),
            "{before} was read as {after} in {region:?}"
        );
    }
    assert_eq!(phone(after).as_deref(), Some(after), "it stays a phone number");
    // Without a region leading zeros were a plus already.
    if !before.starts_with('+') {
        let bare = Participant::find(before, Some(region));
        assert_eq!(
            bare.as_ref(),
            Some(&within.participant),
            "separators do not count"
        );
    }
}

/// Any two texts: a conversation depends on its participants, not on the direction.
pub fn of_two_texts(one: &str, other: &str) {
    let (Some(one), Some(other)) = (Participant::find(one, None), Participant::find(other, None)) else {
        return;
    };
    for channel in ConversationChannel::ALL {
        let there = ConversationKey::new(*channel, one.clone(), other.clone());
        let back = ConversationKey::new(*channel, other.clone(), one.clone());
        assert_eq!(there, back);
        assert!(there.participant_a() <= there.participant_b());
        let (a, b) = (there.participant_a().as_str(), there.participant_b().as_str());
        assert_eq!(there.to_text(), format!("{channel}:{a}<->{b}"));
        let to_self = ConversationKey::new(*channel, one.clone(), one.clone());
        assert_eq!(there == to_self, one == other);
    }
}

/// A participant is found by its given and by its normalized form.
fn found_again(channel: Channel, address: &Address, region: Option<Region>) {
    let Address { given, participant } = address;
    for shown in [given.as_str(), participant.as_str()] {
        let found = Participant::find(shown, region);
        assert_eq!(
            found.as_ref(),
            Some(participant),
            "{channel} {shown:?} in {region:?}"
        );
    }
    let again = Address::sender(channel, participant.as_str(), region).map(|address| address.participant);
    assert_eq!(
        again.as_ref(),
        Ok(participant),
        "normalizing twice changes nothing"
    );
}

fn of_display_name(text: &str, is_address: bool) {
    assert!(text.contains(without_display_name(text)));
    if is_address {
        let named = format!("\"A <b\" <{text}> ");
        assert_eq!(without_display_name(text), text);
        assert_eq!(without_display_name(&named), text);
    }
}

fn names_a_character(text: &str, error: AddressError) {
    let (AddressError::Phone(wrong) | AddressError::PhoneSender(wrong) | AddressError::Email(wrong)) = error;
    if let Some(wrong) = wrong {
        assert_eq!(
            text.chars().nth(wrong.position - 1),
            Some(wrong.character),
            "{text:?}"
        );
    }
}

fn of_email(text: &str, found: &Option<String>) {
    if let Some(participant) = found {
        let (local, domain) = participant.rsplit_once('@').expect("it has an @");
        assert_eq!(local, local.to_lowercase());
        assert_eq!(domain, domain.to_ascii_lowercase());
        assert!(
            domain.is_ascii() && is_domain(domain),
            "{domain:?} is no domain of ASCII"
        );
        assert!(is_local(local), "{local:?} is no local part");
        if let Some((name, _)) = local.split_once('+') {
            assert!(
                local.starts_with('"') || !is_local(name),
                "its tag was not dropped"
            );
        }
    }
    // Beyond ASCII Unicode's tables decide, and a quoted local part may look like a display name.
    if text.is_ascii() && !text.contains('"') {
        assert_eq!(*found, plain_email(text));
    }
}

fn normalized(address: &Result<Address, AddressError>) -> Option<String> {
    let address = address.as_ref().ok()?;
    Some(address.participant.as_str().to_owned())
}

/// `+` or `00` and 7 to 15 digits, or 7 to 15 digits, with separators and perhaps a scheme; or 2 to 6 digits without
/// visible separators. A trunk zero takes the calling codes to judge: `address_table` has those.
fn phone(text: &str) -> Option<String> {
    let plain: String = text.chars().map(plain_character).collect();
    let lower = plain.trim_start_matches(' ').to_ascii_lowercase();
    let scheme = ["tel:", "sms:"].into_iter().find(|scheme| {
        let start = text.trim_start_matches(|letter| plain_character(letter) == ' ');
        lower.starts_with(*scheme) && start.is_char_boundary(4) && start[..4].is_ascii()
    });
    let number = lower.strip_prefix(scheme.unwrap_or_default())?;
    let bare = number.replace(['-', ' ', '.', '(', ')'], "");
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    if text.chars().count() > PHONE_CHARS_MAX || !digits.chars().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let is_number = |digits: &str| (7..=15).contains(&digits.len());
    let abroad = bare
        .strip_prefix("00")
        .filter(|rest| is_number(rest) && !rest.starts_with('0'));
    let is_short_code = (2..=6).contains(&bare.len()) && number.replace(' ', "") == digits;
    match abroad {
        Some(rest) => Some(format!("+{rest}")),
        None => (is_number(digits) || is_short_code).then_some(bare),
    }
}

/// The ASCII character that stands for a digit or a separator of a number: a space for those that cannot be seen.
fn plain_character(character: char) -> char {
    match character {
        '\u{ff0b}' => '+',
        '\u{ff08}' => '(',
        '\u{ff09}' => ')',
        '\u{ff0e}' => '.',
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{30fc}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}' => '-',
        '\t' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}' | '\u{17b5}' | '\u{200b}'..='\u{200f}' => ' ',
        '\u{115f}'
        | '\u{1160}'
        | '\u{180b}'..='\u{180f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' => ' ',
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' => ' ',
        '\u{2028}' | '\u{2029}' => character,
        _ if character.is_whitespace() && !character.is_control() => ' ',
        _ => decimal_digit(character).unwrap_or(character),
    }
}

/// The ASCII form of a decimal digit (Unicode 17, category Nd) of another script.
fn decimal_digit(character: char) -> Option<char> {
    let values = ZEROS
        .iter()
        .filter_map(|zero| u32::from(character).checked_sub(*zero));
    values.filter_map(|value| char::from_digit(value, 10)).next()
}

#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0,
    0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x10d40,
    0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0,
    0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0, 0x11de0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// 1 to 11 letters, digits, spaces and `-_.&+!*?` with at least one letter, folded to lower case.
fn sender_name(text: &str) -> Option<String> {
    let folded = text.to_ascii_lowercase();
    let letters = folded.chars().filter(char::is_ascii_lowercase).count();
    let others = folded
        .chars()
        .filter(|letter| "0123456789 -_.&+!*?".contains(*letter))
        .count();
    let all = folded.chars().count();
    (letters >= 1 && letters + others == all && all <= 11).then_some(folded)
}

/// An addr-spec of ASCII without a quoted string, lower-cased, its tag dropped unless nothing would be left.
fn plain_email(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (local, domain) = lower.rsplit_once('@')?;
    if !is_local(local) || !is_domain(domain) {
        return None;
    }
    let name = local
        .split_once('+')
        .map_or(local, |(name, _)| if is_local(name) { name } else { local });
    Some(format!("{name}@{domain}"))
}

/// A dot-atom, or a quoted string (RFC 5322, 3.2.3 and 3.2.4), with the characters RFC 6532 adds.
fn is_local(text: &str) -> bool {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| !inner.is_empty());
    let valid = match inner {
        Some(inner) => is_quoted_content(inner),
        None => text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    };
    valid && text.len() <= LOCAL_BYTES_MAX
}

fn is_quoted_content(inner: &str) -> bool {
    let mut escaped = false;
    let fits = inner.chars().all(|character| {
        let visible = character.is_ascii_graphic();
        let fits = if escaped {
            visible
        } else {
            character != '"' && (visible || character == ' ' || !character.is_ascii())
        };
        escaped = !escaped && character == '\\';
        fits
    });
    fits && !escaped
}

/// Parts of letters, digits, `-` and `_`, or a literal in brackets (RFC 5321, 4.1.3).
fn is_domain(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match literal {
        Some(literal) => literal
            .chars()
            .all(|character| character.is_ascii_graphic() && !r"[\]".contains(character)),
        None => text.split('.').all(is_label),
    };
    valid && text.len() <= DOMAIN_BYTES_MAX
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character) || !character.is_ascii()
}
