use axum::http::HeaderMap;
use domain::Entropy;

pub(crate) const REQUEST_ID: &str = "x-request-id";
/// The longest id that is taken from a client.
const CHARS_MAX: usize = 128;

/// The client's id for this request if it is plain, else a new one.
pub(crate) fn take_or_make(headers: &HeaderMap, entropy: &Entropy) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_plain(id)) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}", entropy.next_u64()),
    }
}

/// Whether the id can go into a log line and a header unescaped.
fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (1..=CHARS_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_taken_and_others_replaced() {
        let entropy = Entropy::from_seed(1);
        let id_for = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, value.parse().unwrap());
            take_or_make(&headers, &entropy)
        };
        assert_eq!(id_for("order-17:retry"), "order-17:retry");
        for given in ["", "a b", "<script>", &"x".repeat(129)] {
            assert_eq!(id_for(given).len(), 16, "{given}");
        }
    }
}
