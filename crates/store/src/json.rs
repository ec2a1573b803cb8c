use std::time::Duration;

use domain::{Attachments, Metadata, Timestamp};
use serde_json::Value;

use crate::DeliveryAttempt;

/// Attachments as the databases store them: a JSON array, or null without attachments.
pub(crate) fn from_attachments(attachments: &Attachments) -> Option<String> {
    let strings = attachments.as_slice();
    (!strings.is_empty()).then(|| serde_json::Value::from(strings).to_string())
}

/// `None` if the column is no array of strings.
pub(crate) fn to_attachments(json: Option<&str>) -> Option<Attachments> {
    let urls = json.map_or(Ok(Vec::new()), serde_json::from_str).ok()?;
    Some(Attachments::from_stored(urls))
}

/// Metadata as the databases store it: a JSON object, or null if it is empty.
pub(crate) fn from_metadata(metadata: &Metadata) -> Option<String> {
    let object = || serde_json::json!(metadata.entries()).to_string();
    (!metadata.is_empty()).then(object)
}

/// `None` if the column is no object of texts within the bounds of metadata.
pub(crate) fn to_metadata(json: Option<&str>) -> Option<Metadata> {
    let entries = json.map_or(Ok(Default::default()), serde_json::from_str).ok()?;
    Metadata::new(entries).ok()
}

/// The attempts of a webhook delivery as the databases store them.
pub(crate) fn from_delivery_attempts(attempts: &[DeliveryAttempt]) -> String {
    let attempts = attempts.iter().map(|attempt| {
        serde_json::json!({
            "at_us": attempt.at.as_micros(),
            "latency_us": u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX),
            "status": attempt.status,
            "error": attempt.error,
            "answer": attempt.answer,
        })
    });
    Value::from_iter(attempts).to_string()
}

/// `None` if the column holds something else than [`from_delivery_attempts`] writes.
pub(crate) fn to_delivery_attempts(json: &str) -> Option<Vec<DeliveryAttempt>> {
    let attempts: Vec<Value> = serde_json::from_str(json).ok()?;
    let attempt = |attempt: &Value| {
        let status = &attempt["status"];
        Some(DeliveryAttempt {
            at: Timestamp::from_micros(attempt["at_us"].as_i64()?)?,
            latency: Duration::from_micros(attempt["latency_us"].as_u64()?),
            status: match status.as_u64() {
                None if !status.is_null() => return None,
                None => None,
                Some(status) => Some(u16::try_from(status).ok()?),
            },
            error: attempt["error"].as_str()?.into(),
            answer: attempt["answer"].as_str()?.into(),
        })
    };
    attempts.iter().map(attempt).collect()
}
