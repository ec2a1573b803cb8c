//! What values a setting takes.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

/// Reads the text of a setting.
pub(super) struct ValueType<T> {
    /// For the documentation.
    pub(super) values: String,
    /// The error says what to use instead.
    pub(super) read: Box<Read<T>>,
}

type Read<T> = dyn Fn(&str) -> Result<T, String>;

impl<T: 'static> ValueType<T> {
    fn new(values: impl Into<String>, read: impl Fn(&str) -> Result<T, String> + 'static) -> Self {
        let read = Box::new(read);
        Self {
            values: values.into(),
            read,
        }
    }
}

pub(super) fn number<T: TryFrom<u64> + 'static>(range: RangeInclusive<u64>) -> ValueType<T> {
    whole(range, |number| T::try_from(number).ok())
}

pub(super) fn secs(range: RangeInclusive<u64>) -> ValueType<Duration> {
    whole(range, |number| Some(Duration::from_secs(number)))
}

pub(super) fn millis(range: RangeInclusive<u64>) -> ValueType<Duration> {
    whole(range, |number| Some(Duration::from_millis(number)))
}

fn whole<T: 'static>(range: RangeInclusive<u64>, convert: fn(u64) -> Option<T>) -> ValueType<T> {
    let values = format!("{} to {}", range.start(), range.end());
    let refusal = format!("use a whole number from {values}");
    ValueType::new(values, move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(convert).ok_or_else(|| refusal.clone())
    })
}

pub(super) fn flag() -> ValueType<bool> {
    parsed("true or false")
}

pub(super) fn text() -> ValueType<String> {
    ValueType::new("", |text| Ok(text.to_owned()))
}

/// A value that `T` parses.
pub(super) fn parsed<T: FromStr + 'static>(values: &'static str) -> ValueType<T> {
    ValueType::new(values, move |text| {
        text.parse().map_err(|_| format!("use {values}"))
    })
}

/// An empty text is no value.
pub(super) fn optional<T: 'static>(kind: ValueType<T>) -> ValueType<Option<T>> {
    let ValueType { values, read } = kind;
    ValueType::new(values, move |text| {
        (!text.is_empty()).then(|| read(text)).transpose()
    })
}

/// A list that `read` takes, separated by commas. An empty text is an empty list; commas alone are a mistake, such as a list of
/// variables that are not set.
pub(super) fn list<T: 'static>(values: &'static str, read: fn(&[&str]) -> Result<T, String>) -> ValueType<T> {
    ValueType::new(values, move |text| {
        let items: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect();
        if items.is_empty() && !text.is_empty() {
            return Err(format!("use {values}"));
        }
        read(&items)
    })
}
