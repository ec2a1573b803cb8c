//! Reads the rows of webhook endpoints and their deliveries, and writes their JSON columns.

use std::time::Duration;

use domain::{EventType, Timestamp};
use rusqlite::Row;
use uuid::Uuid;

use super::{
    events,
    rows::{corrupt, count, instant, optional_instant, optional_word, word},
};
use crate::{DeliveryAttempt, Endpoint, EndpointConfig, EndpointUrl, WebhookDelivery, WebhookSecret};

pub(super) fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let description: Option<String> = row.get("description")?;
    let replay_until: Option<i64> = row.get("replay_until")?;
    Ok(Endpoint {
        id: row.get::<_, Uuid>("id")?.into(),
        config: EndpointConfig {
            url: EndpointUrl(row.get::<_, String>("url")?.into()),
            types: to_types(row.get_ref("types")?.as_str_or_null()?)?,
            payload: word(row, "payload")?,
            description: description.map(Into::into),
        },
        secret: WebhookSecret(row.get::<_, Vec<u8>>("secret")?.into()),
        previous_secrets: to_secrets(row.get_ref("previous_secrets")?.as_str()?)?,
        enabled: row.get("enabled")?,
        disabled_reason: optional_word(row, "disabled_reason")?,
        created_at: instant(row, "created_at")?,
        cursor: events::event_id(row.get("cursor")?)?,
        replay_until: replay_until.map(events::event_id).transpose()?,
        delivered_total: count(row.get("delivered_total")?)?,
        last_delivered_at: optional_instant(row, "last_delivered_at")?,
        failing_since: optional_instant(row, "failing_since")?,
    })
}

pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<WebhookDelivery> {
    let stored = serde_json::from_str(row.get_ref("event")?.as_str()?).map_err(|_| corrupt("event"))?;
    let id = events::event_id(row.get("event_id")?)?;
    Ok(WebhookDelivery {
        event: events::event(id, instant(row, "at")?, stored)?,
        status: word(row, "status")?,
        due_at: optional_instant(row, "due_at")?,
        attempts: to_attempts(row.get_ref("attempts")?.as_str()?)?,
    })
}

/// Secrets as a JSON array of their bytes and when they end.
pub(super) fn from_secrets(secrets: &[(WebhookSecret, Timestamp)]) -> String {
    let secrets = secrets
        .iter()
        .map(|(secret, until)| serde_json::json!([secret.0, until.as_micros()]));
    serde_json::Value::from_iter(secrets).to_string()
}

fn to_secrets(json: &str) -> rusqlite::Result<Vec<(WebhookSecret, Timestamp)>> {
    let stored: Vec<(Box<[u8]>, i64)> =
        serde_json::from_str(json).map_err(|_| corrupt("previous_secrets"))?;
    let secrets = stored.into_iter().map(|(secret, until)| {
        let until = Timestamp::from_micros(until).ok_or_else(|| corrupt("previous_secrets"))?;
        Ok((WebhookSecret(secret), until))
    });
    secrets.collect()
}

/// Types of events as a JSON array; null is all types.
pub(super) fn from_types(types: Option<&[EventType]>) -> Option<String> {
    types.map(|types| serde_json::json!(types).to_string())
}

fn to_types(json: Option<&str>) -> rusqlite::Result<Option<Vec<EventType>>> {
    let Some(json) = json else { return Ok(None) };
    let words: Vec<String> = serde_json::from_str(json).map_err(|_| corrupt("types"))?;
    let types = words
        .iter()
        .map(|word| word.parse().map_err(|_| corrupt("types")));
    types.collect::<rusqlite::Result<_>>().map(Some)
}

/// An attempt as JSON: the time, the latency in microseconds, the status, the error and the answer.
type StoredAttempt = (i64, u64, Option<u16>, String, String);

pub(super) fn from_attempts(attempts: &[DeliveryAttempt]) -> String {
    let attempts = attempts.iter().map(|attempt| {
        let latency = u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX);
        serde_json::json!([
            attempt.at.as_micros(),
            latency,
            attempt.status,
            attempt.error,
            attempt.answer
        ])
    });
    serde_json::Value::from_iter(attempts).to_string()
}

fn to_attempts(json: &str) -> rusqlite::Result<Vec<DeliveryAttempt>> {
    let stored: Vec<StoredAttempt> = serde_json::from_str(json).map_err(|_| corrupt("attempts"))?;
    let attempts = stored.into_iter().map(|(at, latency, status, error, answer)| {
        Ok(DeliveryAttempt {
            at: Timestamp::from_micros(at).ok_or_else(|| corrupt("attempts"))?,
            latency: Duration::from_micros(latency),
            status,
            error: error.into(),
            answer: answer.into(),
        })
    });
    attempts.collect()
}
