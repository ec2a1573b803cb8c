use std::{fmt, ops::RangeInclusive, str::FromStr};

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use thiserror::Error;

/// How long an international number is: 7 to 15 digits and the `+`.
const E164_CHARS: RangeInclusive<usize> = 8..=16;

/// The region in which national phone numbers are read, such as `US` or `DE` (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Region(rlibphonenumber::enums::Region);

/// A region nobody numbers phones in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use a two-letter region code such as US, GB or DE")]
pub struct RegionError;

impl Region {
    /// The international form (E.164 with `+`) of a national number, when it is a valid number of this region.
    ///
    /// The parser also reads truncated numbers, so only what is a *valid* number counts; anything else is `None`, and
    /// the number keeps the form in which it came.
    pub(crate) fn internationalize(self, digits: &str) -> Option<String> {
        let number = PHONE_NUMBER_UTIL.parse(digits, Some(self.0)).ok()?;
        let valid_here = PHONE_NUMBER_UTIL.is_valid_number_for_region(&number, self.0);
        let international = number.format_as(PhoneNumberFormat::E164);
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.0)?;
        // In `0073300` the parser takes `00` for the way out of Luxembourg, finds no country behind it, and yet has a number
        // of Luxembourg in the end, of which its code is missing.
        let is_of_region = international.starts_with(&format!("+{code}"));
        // Germany has numbers that are valid and, with its code, longer than the plan of the world allows.
        let fits = E164_CHARS.contains(&international.len());
        (valid_here && is_of_region && fits).then(|| international.into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn national_numbers_become_international_only_where_they_are_valid() {
        let us: Region = "US".parse().unwrap();
        assert_eq!(us.internationalize("2016661234").as_deref(), Some("+12016661234"));
        assert_eq!(
            us.internationalize("12016661234").as_deref(),
            Some("+12016661234")
        );
        for elsewhere in ["442071838750", "5551234", "1201666123", "120166612345"] {
            assert_eq!(us.internationalize(elsewhere), None, "{elsewhere}");
        }
        let gb: Region = "gb".parse().unwrap();
        assert_eq!(
            gb.internationalize("02071838750").as_deref(),
            Some("+442071838750")
        );
        let de: Region = "DE".parse().unwrap();
        assert_eq!(
            de.internationalize("2010000000000").as_deref(),
            Some("+492010000000000")
        );
        assert_eq!(de.internationalize("20100000000000"), None);
        for (region, text) in [
            ("LU", "0073300"),
            ("AC", "00140000"),
            ("NO", "00107000"),
            ("WS", "0130000"),
        ] {
            let region: Region = region.parse().unwrap();
            assert_eq!(region.internationalize(text), None, "{region:?} {text}");
        }
    }

    #[test]
    fn regions_are_two_letters() {
        for text in ["", "USA", "XX", "1", "United States"] {
            assert_eq!(text.parse::<Region>(), Err(RegionError), "{text}");
        }
    }
}
