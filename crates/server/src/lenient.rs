//! JSON values that are taken in more than one form.

use domain::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Reads a time, or `None` from any other JSON value: a wrong timestamp is no reason to refuse a message.
///
/// # Errors
/// When the value is not JSON.
pub fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(Timestamp::parse))
}

/// Reads a text. Some providers write ids and phone numbers as integers.
///
/// # Errors
/// When it is neither a text nor an integer of 64 bits.
pub fn text_or_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        // A larger number was rounded when it was parsed, and would be taken for another.
        Value::Number(number) if number.is_u64() || number.is_i64() => Ok(Some(number.to_string())),
        _ => Err(D::Error::custom("use a string")),
    }
}
