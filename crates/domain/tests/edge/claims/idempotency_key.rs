use trunkline_domain::IdempotencyKey;

/// A text is a valid value of the header, or refused.
pub fn of_text(text: &str) {
    let found = text.parse::<IdempotencyKey>();
    let key = found.as_ref().ok().map(IdempotencyKey::as_str);
    if !text.starts_with('"') {
        let expected = Some(text).filter(|text| is_key(text));
        assert_eq!(key, expected, "a bare key is what stands there");
    }
    if let Some(key) = key {
        assert!(is_key(key));
        // A key has exactly one quoted form.
        assert!(text == key || text == quoted(key), "{text:?} was read as {key:?}");
        assert_eq!(quoted(key).parse(), found);
    }
    if is_key(text) {
        let through_quotes = quoted(text).parse::<IdempotencyKey>();
        assert_eq!(
            through_quotes.map(|key| key.as_str().to_owned()),
            Ok(text.to_owned())
        );
    }
}

/// 1 to 255 visible characters.
pub fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.chars().count())
        && text.chars().all(|character| ('!'..='~').contains(&character))
}

/// As a string of RFC 9651.
pub fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}
