use trunkline_domain::{
    Address, AddressError, Channel, ConversationChannel, ConversationKey, Participant, Region,
};

/// The longest phone number as given: a bound of ours, the contract names none.
const PHONE_BYTES_MAX: usize = 64;
/// The longest part before the `@`, the longest domain and the longest part of one, in bytes (RFC 5321, 4.5.3.1, and
/// RFC 1035, 2.3.4).
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 254;
const LABEL_BYTES_MAX: usize = 63;

/// The last digits of a number are its own, wherever it is dialled from.
const SUBSCRIBER_DIGITS_MIN: usize = 3;

/// Any text at all.
pub fn of_text(text: &str) {
    for channel in Channel::ALL {
        let sender = Address::sender(*channel, text, None);
        let recipient = Address::recipient(*channel, text, None);
        for address in [&sender, &recipient].into_iter().flatten() {
            assert_eq!(address.given.as_str(), text, "the given form is kept");
            found_again(*channel, address, None);
        }
        match channel.conversation() {
            ConversationChannel::Sms => {
                let (phone, name) = (phone(text), sender_name(text));
                assert_eq!(normalized(&recipient), phone.clone().ok_or(AddressError::Phone));
                assert_eq!(
                    normalized(&sender),
                    phone.or(name).ok_or(AddressError::PhoneSender)
                );
            }
            ConversationChannel::Email => {
                assert_eq!(sender, recipient);
                of_email(text, &normalized(&sender));
            }
        }
    }
}

/// Any text where national numbers are read: the region says who somebody is, never whether he is somebody.
pub fn of_text_in(text: &str, region: Region) {
    let without = Address::recipient(Channel::Sms, text, None);
    let within = Address::recipient(Channel::Sms, text, Some(region));
    assert_eq!(without.is_ok(), within.is_ok());
    let (Ok(without), Ok(within)) = (without, within) else {
        return;
    };
    found_again(Channel::Sms, &within, Some(region));
    let (before, after) = (without.participant.as_str(), within.participant.as_str());
    if before != after {
        assert!(!before.starts_with('+'), "an international number is left alone");
        let end = &before[before.len() - SUBSCRIBER_DIGITS_MIN..];
        assert!(
            after.starts_with('+') && after.ends_with(end),
            "{before} was read as {after} in {region:?}"
        );
    }
    assert_eq!(phone(after).as_deref(), Some(after), "it stays a phone number");
    let bare = Participant::find(before, Some(region));
    assert_eq!(bare.as_ref(), Some(&within.participant), "separators say nothing");
}

/// Any two texts: who wrote to whom makes no difference, and who they are does.
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

/// Who was accepted is found by the form he was given in, and by the form he is shown in.
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

fn of_email(text: &str, found: &Result<String, AddressError>) {
    if let Ok(participant) = found {
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
    // Beyond ASCII it takes the tables of Unicode to say what is a letter, and a quoted name may look like a display name.
    if text.is_ascii() && !text.contains('"') {
        assert_eq!(found.clone().ok(), plain_email(text));
    }
}

fn normalized(address: &Result<Address, AddressError>) -> Result<String, AddressError> {
    let participant = |address: &Address| address.participant.as_str().to_owned();
    address.as_ref().map(participant).map_err(|error| *error)
}

/// `+?` and 7 to 15 digits with the usual separators, or a short code of 3 to 6 digits with none.
fn phone(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|letter| !" -.()".contains(*letter)).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    let digits_only = digits.chars().all(|digit| "0123456789".contains(digit));
    let is_number = (7..=15).contains(&digits.len());
    let is_short_code = (3..=6).contains(&digits.len()) && digits == text;
    let valid = digits_only && (is_number || is_short_code) && text.len() <= PHONE_BYTES_MAX;
    valid.then_some(bare)
}

/// 1 to 11 letters, digits, `-_.&` with at least one letter, folded to lower case.
fn sender_name(text: &str) -> Option<String> {
    let folded = text.to_ascii_lowercase();
    let letters = folded.chars().filter(char::is_ascii_lowercase).count();
    let others = folded
        .chars()
        .filter(|letter| "0123456789-_.&".contains(*letter))
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

/// Parts of letters, digits and what else an atom may have inside, or a literal in brackets (RFC 5322, 3.4.1).
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
        && text.chars().all(is_atext)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character) || !character.is_ascii()
}
