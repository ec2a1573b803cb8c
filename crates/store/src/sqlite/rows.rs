//! Reads rows back into domain types. A value that does not fit was not written by this program, and is an error.

use std::{str::FromStr, time::Duration};

use domain::{
    Attempt, Body, Content, Conversation, ConversationId, ConversationKey, ErrorCode, Failure, GivenAddress,
    Message, Metadata, Participant, Schedule, Subject, Timestamp,
};
use rusqlite::{Row, types::Type};
use uuid::Uuid;

use crate::json;

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let conversation_id: Option<i64> = row.get("conversation_id")?;
    let sequence: Option<i64> = row.get("sequence")?;
    let thread = match (conversation_id.and_then(ConversationId::new), sequence) {
        (Some(id), Some(sequence)) => Some((id, count(sequence)?)),
        _ => None,
    };
    let failure = match optional_word(row, "failure_reason")? {
        Some(reason) => Some(Failure {
            reason,
            error_code: error_code(row, "failure_code")?,
        }),
        None => None,
    };
    Ok(Message {
        id: row.get::<_, Uuid>("id")?.into(),
        thread,
        direction: word(row, "direction")?,
        content: content(row)?,
        timestamp: instant(row, "timestamp")?,
        processed_at: instant(row, "processed_at")?,
        status: word(row, "status")?,
        provider: optional_word(row, "provider")?,
        failure,
        schedule: Schedule::default(),
        delivery: None,
    })
}

pub(super) fn content(row: &Row<'_>) -> rusqlite::Result<Content> {
    let attachments: Option<String> = row.get("attachments")?;
    let subject: Option<String> = row.get("subject")?;
    let subject = subject
        .map(Subject::new)
        .transpose()
        .map_err(|_| corrupt("subject"))?;
    Ok(Content {
        channel: word(row, "channel")?,
        from: GivenAddress::from_stored(row.get::<_, String>("sender")?),
        to: GivenAddress::from_stored(row.get::<_, String>("recipient")?),
        subject,
        body: Body::new(row.get::<_, String>("body")?).map_err(|_| corrupt("body"))?,
        attachments: json::to_attachments(attachments.as_deref()).ok_or_else(|| corrupt("attachments"))?,
        metadata: Metadata::default(),
    })
}

pub(super) fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    let [one, other] = ["participant_a", "participant_b"].map(|column| row.get::<_, String>(column));
    Ok(Conversation {
        id: conversation_id(row.get("id")?)?,
        key: ConversationKey::new(
            word(row, "channel")?,
            Participant::from_stored(one?),
            Participant::from_stored(other?),
        ),
        message_count: count(row.get("message_count")?)?,
        last_activity_at: instant(row, "last_activity_at")?,
        created_at: instant(row, "created_at")?,
    })
}

pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get("number")?,
        provider: word(row, "provider")?,
        outcome: word(row, "outcome")?,
        error_code: error_code(row, "error_code")?,
        occurred_at: instant(row, "occurred_at")?,
        latency: Duration::from_millis(count(row.get("latency_ms")?)?),
        late_outcome: optional_word(row, "late_outcome")?,
        provider_message_id: optional_word(row, "provider_message_id")?,
    })
}

pub(super) fn conversation_id(number: i64) -> rusqlite::Result<ConversationId> {
    ConversationId::new(number).ok_or_else(|| corrupt("conversation_id"))
}

pub(super) fn instant(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(row.get(column)?).ok_or_else(|| corrupt(column))
}

pub(super) fn word<T: FromStr>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<T> {
    row.get_ref(column)?
        .as_str()?
        .parse()
        .map_err(|_| corrupt(column))
}

pub(super) fn count<T: TryFrom<i64>>(number: i64) -> rusqlite::Result<T> {
    T::try_from(number).map_err(|_| corrupt("a count"))
}

fn optional_word<T: FromStr>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

fn error_code(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<ErrorCode>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .map(ErrorCode::from_provider))
}

fn corrupt(column: &'static str) -> rusqlite::Error {
    let reason = format!(
        "the column {column} holds a value that this program does not know: a newer program or a person wrote it"
    );
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, reason.into())
}
