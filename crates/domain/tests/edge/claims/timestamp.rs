use trunkline_domain::Timestamp;

/// The first and the last instant of the years 1 to 9999, in microseconds.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

/// A text is an instant in the years 1 to 9999, or refused.
pub fn of_text(text: &str) {
    let Some(instant) = Timestamp::parse(text) else {
        return;
    };
    assert!((FIRST..=LAST).contains(&instant.as_micros()));
    assert_eq!(Timestamp::from_micros(instant.as_micros()), Some(instant));
    let shown = instant.to_string();
    assert!(
        shown.ends_with('Z') && shown.as_bytes().get(10) == Some(&b'T'),
        "{shown}"
    );
    assert_eq!(
        Timestamp::parse(&shown),
        Some(instant),
        "what is shown can be read"
    );
}
