use proptest::prelude::*;
use trunkline_domain::Timestamp;

use crate::{claims, config, near_miss};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// A time in RFC 3339 and its microseconds since 1970.
fn instant() -> impl Strategy<Value = (String, i64)> {
    let date = (2_i64..9_999, 1_i64..=12, 1_i64..=28);
    let time = (0_i64..24, 0_i64..60, 0_i64..60, "[0-9]{0,9}");
    let offset = (prop::bool::ANY, 0_i64..24, 0_i64..60);
    (date, time, offset).prop_map(|((year, month, day), (hour, minute, second, digits), (west, hours, minutes))| {
        let fraction = if digits.is_empty() { String::new() } else { format!(".{digits}") };
        let sign = if west { '-' } else { '+' };
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{sign}{hours:02}:{minutes:02}");
        let ahead = (hours * MINUTE + minutes) * MINUTE * if west { -1 } else { 1 };
        let seconds = days(year, month, day) * DAY + (hour * MINUTE + minute) * MINUTE + second - ahead;
        // Finer digits are cut off.
        let micros: i64 = format!("{digits:0<6}")[..6].parse().unwrap();
        (text, seconds * 1_000_000 + micros)
    })
}

/// Days from 1970-01-01 in the Gregorian calendar, counted year by year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_years_until = |year: i64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_years_until(year) > leap_years_until(year - 1);
    let leap_days = leap_years_until(year - 1) - leap_years_until(1_969);
    let this_year = BEFORE_MONTH[usize::try_from(month - 1).unwrap()] + i64::from(is_leap && month > 2);
    (year - 1_970) * 365 + leap_days + this_year + day - 1
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_time_is_read_to_the_microsecond((text, micros) in instant()) {
        prop_assert_eq!(Timestamp::parse(&text).map(Timestamp::as_micros), Some(micros));
        claims::timestamp::of_text(&text);
    }

    #[test]
    fn a_text_is_a_time_by_the_grammar_or_refused(
        text in prop_oneof![1 => "(-00)?000[01]-(01-01|12-31)T(00|23):59:00(Z|[+-]0[01]:00|[+-]23:59)", 6 => near_miss::near(instant().prop_map(|(text, _)| text)), 1 => near_miss::any_text()],
    ) {
        claims::timestamp::of_text(&text);
    }
}
