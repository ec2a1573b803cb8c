use std::{fmt, ops::RangeInclusive, str::FromStr};

use rlibphonenumber::{
    CountryCodeSource, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType,
};
use thiserror::Error;

use crate::address::WrongCharacter;

/// The longest phone number as given, separators included.
pub const PHONE_CHARS_MAX: usize = 64;
/// Digits of an international number (E.164), its calling code included.
const DIGITS: RangeInclusive<usize> = 7..=15;
const SHORT_CODE_DIGITS: RangeInclusive<usize> = 2..=6;

/// Visible separators of a number: parentheses, full stops, hyphens, dashes and minus signs.
const PUNCTUATION: &[RangeInclusive<char>] = &[
    '('..=')',
    '-'..='.',
    '\u{2010}'..='\u{2015}',
    '\u{2043}'..='\u{2043}',
    '\u{2212}'..='\u{2212}',
    '\u{30fc}'..='\u{30fc}',
    '\u{fe58}'..='\u{fe58}',
    '\u{fe63}'..='\u{fe63}',
    '\u{ff08}'..='\u{ff09}',
    '\u{ff0d}'..='\u{ff0e}',
];
/// Separators that cannot be seen: spaces that break no line, and characters that Unicode calls default ignorable
/// (zero-width, bidirectional marks, fillers, variation selectors).
const BLANKS: &[RangeInclusive<char>] = &[
    '\t'..='\t',
    ' '..=' ',
    '\u{a0}'..='\u{a0}',
    '\u{1680}'..='\u{1680}',
    '\u{2000}'..='\u{200a}',
    '\u{202f}'..='\u{202f}',
    '\u{205f}'..='\u{205f}',
    '\u{3000}'..='\u{3000}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
];

pub(crate) fn is_blank(character: char) -> bool {
    among(BLANKS, character)
}

fn among(ranges: &[RangeInclusive<char>], character: char) -> bool {
    ranges.iter().any(|range| range.contains(&character))
}

/// A phone number or short code in its normalized form. The error names the character that is wrong, if one is.
pub(crate) fn normalized(text: &str, region: Option<Region>) -> Result<String, Option<WrongCharacter>> {
    if text.chars().count() > PHONE_CHARS_MAX {
        return Err(None);
    }
    let (number, punctuated) = bare(text)?;
    let number = without_trunk_zero(&number);
    if let Some(digits) = number.strip_prefix('+') {
        return DIGITS.contains(&digits.len()).then_some(number).ok_or(None);
    }
    if SHORT_CODE_DIGITS.contains(&number.len()) && !punctuated {
        return Ok(number);
    }
    international(&number, region)
        .or_else(|| DIGITS.contains(&number.len()).then_some(number))
        .ok_or(None)
}

/// The ASCII digits, the leading `+` and the parentheses of a number, and whether it has visible separators.
fn bare(text: &str) -> Result<(String, bool), WrongCharacter> {
    let mut bare = String::with_capacity(text.len());
    let mut punctuated = false;
    let number = without_scheme(text.trim_start_matches(is_blank));
    let skipped = text.chars().count() - number.chars().count();
    for (index, character) in number.chars().enumerate() {
        if let Some(digit) = digit(character) {
            bare.push(digit);
        } else if matches!(character, '+' | '\u{ff0b}') && bare.chars().all(|before| "()".contains(before)) {
            bare.push('+');
        } else if among(PUNCTUATION, character) {
            punctuated = true;
            match character {
                '(' | '\u{ff08}' => bare.push('('),
                ')' | '\u{ff09}' => bare.push(')'),
                _ => {}
            }
        } else if !is_blank(character) {
            return Err(WrongCharacter {
                character,
                position: skipped + index + 1,
            });
        }
    }
    Ok((bare, punctuated))
}

/// A decimal digit of any script.
fn digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return Some(character).filter(char::is_ascii_digit);
    }
    let text = character.is_numeric().then(|| character.to_string())?;
    PHONE_NUMBER_UTIL.normalize_digits_only(&text).chars().next()
}

/// `tel:` (RFC 3966) and `sms:` (RFC 5724) say what a number is for, not which it is.
fn without_scheme(text: &str) -> &str {
    let is_scheme = |scheme: &&str| {
        ["tel:", "sms:"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
    };
    match text.get(..4).filter(is_scheme) {
        Some(scheme) => &text[scheme.len()..],
        None => text,
    }
}

/// Removes the parentheses, and with them a trunk zero: `+44(0)20…` is `+4420…`.
fn without_trunk_zero(number: &str) -> String {
    let plain = |text: &str| text.replace(['(', ')'], "");
    let Some((code, rest)) = number.split_once("(0)") else {
        return plain(number);
    };
    let (prefix, rest) = (plain(code), plain(rest));
    let code = prefix.trim_start_matches('+');
    let code = code.strip_prefix("00").unwrap_or(code);
    let with_zero = format!("+{code}0{rest}");
    // In Italy and a few other countries the zero belongs to the number.
    let belongs = Reading::of(&with_zero).is_some_and(|reading| reading.e164 == with_zero);
    if is_calling_code(code) && !belongs && code.len() + rest.len() >= *DIGITS.start() {
        prefix + &rest
    } else {
        format!("{prefix}0{rest}")
    }
}

fn is_calling_code(digits: &str) -> bool {
    let code = digits.parse().ok().filter(|_| !digits.starts_with('0'));
    code.is_some_and(|code| PHONE_NUMBER_UTIL.get_region_for_country_code(code).is_some())
}

/// The international form (E.164) of digits without a `+`.
///
/// Of several valid readings a mobile number wins, since it alone can take texts; then the order below decides.
fn international(digits: &str, region: Option<Region>) -> Option<String> {
    let after_zeros = digits
        .strip_prefix("00")
        .filter(|rest| DIGITS.contains(&rest.len()) && !rest.starts_with('0'))
        .map(|rest| format!("+{rest}"));
    let Some(region) = region else {
        return after_zeros;
    };
    let dialled = PHONE_NUMBER_UTIL
        .parse_and_keep_raw_input(digits, Some(region.0))
        .ok();
    let readings = [
        dialled.as_ref().and_then(|number| region.valid(number)),
        after_zeros.as_deref().and_then(Reading::of),
        Reading::of(&format!("+{digits}")),
    ];
    let readings = || readings.iter().flatten();
    let valid = readings()
        .find(|reading| reading.mobile)
        .or_else(|| readings().next());
    valid
        .map(|reading| reading.e164.clone())
        .or_else(|| {
            dialled
                .as_ref()
                .filter(|number| was_dialled_abroad(number))
                .and_then(e164)
        })
        .or(after_zeros)
}

/// A valid number, and whether it can be a mobile one.
struct Reading {
    e164: String,
    mobile: bool,
}

impl Reading {
    fn of(text: &str) -> Option<Self> {
        let number = PHONE_NUMBER_UTIL.parse(text, None).ok()?;
        Self::of_number(&number)
    }

    fn of_number(number: &PhoneNumber) -> Option<Self> {
        // The parser also reads truncated numbers. Germany has valid ones that are too long for E.164.
        let e164 = e164(number).filter(|_| number.is_valid())?;
        let mobile = matches!(
            number.get_type(),
            PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile
        );
        Some(Self { e164, mobile })
    }
}

fn e164(number: &PhoneNumber) -> Option<String> {
    let text = number.format_as(PhoneNumberFormat::E164);
    let digits = text.strip_prefix('+')?;
    (DIGITS.contains(&digits.len()) && !digits.starts_with('0')).then(|| text.into_owned())
}

fn was_dialled_abroad(number: &PhoneNumber) -> bool {
    number.country_code_source() == CountryCodeSource::FromNumberWithIdd
}

/// The region in which national phone numbers are read, such as `US` or `DE` (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Region(rlibphonenumber::enums::Region);

/// A region without phone numbers of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use a two-letter region code such as US, GB or DE")]
pub struct RegionError;

impl Region {
    /// A number dialled in this region: abroad, or valid for the calling code, which several regions may share.
    fn valid(self, number: &PhoneNumber) -> Option<Reading> {
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.0);
        let counts = was_dialled_abroad(number) || code == Some(number.country_code);
        Reading::of_number(number).filter(|_| counts)
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let region: rlibphonenumber::enums::Region =
            text.to_ascii_uppercase().parse().map_err(|_| RegionError)?;
        let known = text.len() == 2 && PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some();
        if known { Ok(Self(region)) } else { Err(RegionError) }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({:?})", self.0)
    }
}
