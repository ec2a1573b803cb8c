use std::time::Duration;

use async_trait::async_trait;
use domain::{ConversationId, Event, EventId, EventSubject, EventType, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Sqlite, micros, rows};
use crate::{EventLog, Events, EventsRead, StoreError};

#[async_trait]
impl Events for Sqlite {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        self.read(move |connection, _| {
            let start = ends(connection)?.start;
            if after < start {
                return Ok(EventsRead::Expired { start });
            }
            let mut events = Vec::new();
            let mut batches =
                connection.prepare_cached(include_str!("../../sql/event_batches/after.sqlite.sql"))?;
            let mut batches = batches.query([number(after)])?;
            while events.len() < limit as usize
                && let Some(row) = batches.next()?
            {
                let last: i64 = row.get("last")?;
                let first = last + 1 - row.get::<_, i64>("count")?;
                let at = rows::instant(row, "at")?;
                let batch: Vec<Stored> = serde_json::from_str(row.get_ref("events")?.as_str()?)
                    .map_err(|_| rows::corrupt("events"))?;
                for (place, stored) in (first..).zip(batch) {
                    let id = event_id(place)?;
                    if id > after && events.len() < limit as usize {
                        events.push(event(id, at, stored)?);
                    }
                }
            }
            Ok(EventsRead::Events(events))
        })
        .await
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        self.read(|connection, _| ends(connection)).await
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection, now| {
            let oldest = now.as_micros().saturating_sub(micros(kept));
            let mut batches =
                connection.prepare_cached(include_str!("../../sql/event_batches/oldest.sqlite.sql"))?;
            let mut batches = batches.query([])?;
            let (mut purged, mut last) = (0_u64, 0_i64);
            while purged < u64::from(limit)
                && let Some(row) = batches.next()?
                && row.get::<_, i64>("at")? <= oldest
            {
                last = row.get("last")?;
                purged += rows::count::<u64>(row.get("count")?)?;
            }
            drop(batches);
            connection
                .prepare_cached(include_str!("../../sql/event_batches/purge.sqlite.sql"))?
                .execute([last])?;
            Ok(purged)
        })
        .await
    }
}

pub(super) fn ends(connection: &Connection) -> rusqlite::Result<EventLog> {
    connection
        .prepare_cached(include_str!("../../sql/event_log/ends.sqlite.sql"))?
        .query_row([], |row| {
            Ok(EventLog {
                start: event_id(row.get("start")?)?,
                end: event_id(row.get("latest")?)?,
            })
        })
}

/// The place before the first event at `since` or later.
pub(super) fn before(connection: &Connection, since: Timestamp) -> rusqlite::Result<Option<EventId>> {
    connection
        .prepare_cached(include_str!("../../sql/event_batches/before.sqlite.sql"))?
        .query_row([since.as_micros()], |row| event_id(row.get(0)?))
        .optional()
}

/// The events of one transaction, in the order of its changes.
#[derive(Default)]
pub(super) struct NewEvents(Vec<(EventType, EventSubject)>);

impl NewEvents {
    pub(super) fn push(&mut self, kind: EventType, subject: EventSubject) {
        self.0.push((kind, subject));
    }

    /// An event of a message that has neither a reason nor an error.
    pub(super) fn of_message(&mut self, kind: EventType, message_id: Uuid, conversation_id: ConversationId) {
        let subject = EventSubject::Message {
            message_id: message_id.into(),
            conversation_id,
            reason: None,
            error_code: None,
        };
        self.push(kind, subject);
    }

    /// Writes them as one row, with the next places in the log.
    pub(super) fn write(self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let count = self.0.len() as i64;
        let events: serde_json::Value = self
            .0
            .iter()
            .map(|(kind, subject)| json(*kind, subject))
            .collect();
        let last: i64 = connection
            .prepare_cached(include_str!("../../sql/event_log/advance.sqlite.sql"))?
            .query_row([count], |row| row.get(0))?;
        connection
            .prepare_cached(include_str!("../../sql/event_batches/insert.sqlite.sql"))?
            .execute(params![last, now.as_micros(), count, events.to_string()])?;
        Ok(())
    }
}

/// An event as JSON: its type, the id of the message or endpoint, the conversation, the reason and the error code.
pub(super) type Stored = (String, String, Option<i64>, Option<String>, Option<String>);

pub(super) fn json(kind: EventType, subject: &EventSubject) -> serde_json::Value {
    match subject {
        EventSubject::Message {
            message_id,
            conversation_id,
            reason,
            error_code,
        } => serde_json::json!([kind, message_id, conversation_id.get(), reason, error_code]),
        EventSubject::WebhookEndpoint { id, reason } => serde_json::json!([kind, id, null, reason, null]),
    }
}

pub(super) fn event(id: EventId, at: Timestamp, stored: Stored) -> rusqlite::Result<Event> {
    let (kind, subject_id, conversation_id, reason, error_code) = stored;
    let corrupt = || rows::corrupt("events");
    let subject = match conversation_id {
        Some(conversation_id) => EventSubject::Message {
            message_id: subject_id.parse().map_err(|_| corrupt())?,
            conversation_id: rows::conversation_id(conversation_id)?,
            reason: reason
                .map(|reason| reason.parse().map_err(|_| corrupt()))
                .transpose()?,
            error_code: error_code.as_deref().map(domain::ErrorCode::from_provider),
        },
        None => EventSubject::WebhookEndpoint {
            id: subject_id.parse().map_err(|_| corrupt())?,
            reason: reason
                .and_then(|reason| reason.parse().ok())
                .ok_or_else(corrupt)?,
        },
    };
    Ok(Event {
        id,
        kind: kind.parse().map_err(|_| corrupt())?,
        at,
        subject,
    })
}

pub(super) fn event_id(place: i64) -> rusqlite::Result<EventId> {
    u64::try_from(place)
        .ok()
        .and_then(EventId::new)
        .ok_or_else(|| rows::corrupt("last"))
}

/// The place of an event as a column. Ids of events have 16 digits, so they fit.
pub(super) fn number(id: EventId) -> i64 {
    id.get().cast_signed()
}
