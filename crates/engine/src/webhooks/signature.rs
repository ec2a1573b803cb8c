//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use store::{Endpoint, WebhookSecret};

/// Begins a secret's spelling.
const SECRET_PREFIX: &str = "whsec_";
/// Lengths that Standard Webhooks allows.
const SECRET_BYTES: RangeInclusive<usize> = 24..=64;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A secret as receivers configure it.
#[must_use]
pub fn spelled_secret(secret: &WebhookSecret) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(&secret.0))
}

/// The secret that is spelled so; `None` if it is none, or has not 24 to 64 bytes.
#[must_use]
pub fn webhook_secret(text: &str) -> Option<WebhookSecret> {
    let bytes = STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok()?;
    SECRET_BYTES
        .contains(&bytes.len())
        .then(|| WebhookSecret(bytes.into()))
}

/// The headers of a call: with one signature for each secret that is valid now.
pub(super) fn headers(
    endpoint: &Endpoint,
    webhook_id: String,
    now: Timestamp,
    body: &[u8],
) -> [(&'static str, String); 3] {
    let timestamp = now.as_micros().div_euclid(MICROS_PER_SECOND).to_string();
    let mut signature = sign_webhook(&endpoint.secret, &webhook_id, &timestamp, body);
    let previous = endpoint.previous_secrets.iter();
    for (secret, _) in previous.filter(|(_, until)| now < *until) {
        signature.push(' ');
        signature.push_str(&sign_webhook(secret, &webhook_id, &timestamp, body));
    }
    [
        ("webhook-id", webhook_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature),
    ]
}

/// Signs one webhook: `v1,` and the signature in base64.
#[must_use]
pub fn sign_webhook(secret: &WebhookSecret, webhook_id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of every length");
    for part in [webhook_id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use domain::{Entropy, EventId, WebhookEndpointId, WebhookPayload};
    use store::{EndpointConfig, EndpointUrl};

    use super::*;

    /// The example of the libraries of Standard Webhooks.
    #[test]
    fn the_published_example_is_signed_alike() {
        let secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = WebhookSecret(STANDARD.decode(secret).unwrap().into());
        assert_eq!(spelled_secret(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(webhook_secret(&spelled_secret(&secret)), Some(secret.clone()));
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            sign_webhook(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn each_secret_before_signs_until_its_end() {
        let [secret, before, first] = [1, 2, 3].map(|byte| WebhookSecret(Box::new([byte; 32])));
        let until = Timestamp::from_micros(86_400_000_000).unwrap();
        let an_hour_before = Timestamp::from_micros(82_800_000_000).unwrap();
        let previous = vec![(before.clone(), until), (first.clone(), an_hour_before)];
        let endpoint = endpoint(secret.clone(), previous);
        for (micros, secrets) in [
            (82_799_999_999, vec![&secret, &before, &first]),
            (86_399_999_999, vec![&secret, &before]),
            (86_400_000_000, vec![&secret]),
        ] {
            let now = Timestamp::from_micros(micros).unwrap();
            let [id, timestamp, signature] = headers(&endpoint, "7".to_owned(), now, b"{}");
            let seconds = (micros / 1_000_000).to_string();
            let signatures: Vec<_> = secrets
                .iter()
                .map(|secret| sign_webhook(secret, "7", &seconds, b"{}"))
                .collect();
            assert_eq!(signature, ("webhook-signature", signatures.join(" ")));
            assert_eq!((id.1, timestamp.1), ("7".to_owned(), seconds));
        }
    }

    fn endpoint(secret: WebhookSecret, previous_secrets: Vec<(WebhookSecret, Timestamp)>) -> Endpoint {
        let created_at = Timestamp::EARLIEST;
        Endpoint {
            id: WebhookEndpointId::mint(created_at, &Entropy::from_seed(1)),
            config: EndpointConfig {
                url: EndpointUrl("https://example.com".into()),
                types: None,
                payload: WebhookPayload::Full,
                description: None,
            },
            secret,
            previous_secrets,
            enabled: true,
            disabled_reason: None,
            created_at,
            cursor: EventId::START,
            replay_until: None,
            delivered_total: 0,
            last_delivered_at: None,
            failing_since: None,
        }
    }

    #[test]
    fn a_secret_has_a_prefix_and_a_length() {
        let spelled = |bytes: usize| spelled_secret(&WebhookSecret(vec![7; bytes].into()));
        for (text, good) in [
            (spelled(24), true),
            (spelled(64), true),
            (spelled(23), false),
            (spelled(65), false),
            (spelled(24).replace("whsec_", ""), false),
            ("whsec_!".to_owned(), false),
        ] {
            assert_eq!(webhook_secret(&text).is_some(), good, "{text}");
        }
    }
}
