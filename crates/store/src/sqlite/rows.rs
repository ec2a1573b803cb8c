//! Reads rows back into domain types. A value that does not fit was not written by this program, and is an error.

use std::{str::FromStr, time::Duration};

use domain::{
    Attempt, Body, Content, Conversation, ConversationId, ConversationKey, Delivery, Direction, ErrorCode,
    Failure, GivenAddress, Message, MessageId, OutboxState, Participant, Receipt, ReceiptPosition, Schedule,
    Status, Subject, Timestamp,
};
use rusqlite::{Row, types::Type};
use uuid::Uuid;

use crate::{StoredReceipt, json};

/// The resolution of a canceled message.
pub(super) const CANCELED: &str = "canceled";

/// A message with its outbox entry, if it has one. `now` is the time of the database's clock.
pub(super) fn message(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Message> {
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
    let direction = word(row, "direction")?;
    let delivery = delivery(row)?;
    let status = match direction {
        Direction::Inbound => Status::Received,
        Direction::Outbound => {
            let canceled = row.get_ref("resolution")?.as_str()? == CANCELED;
            let receipts = delivery.as_ref().map(|delivery| delivery.status);
            Status::of_outbound(entry(row, now)?, canceled, receipts)
        }
    };
    Ok(Message {
        id: row.get::<_, Uuid>("id")?.into(),
        thread,
        direction,
        content: content(row)?,
        timestamp: instant(row, "timestamp")?,
        processed_at: instant(row, "processed_at")?,
        status,
        provider: optional_word(row, "provider")?,
        failure,
        schedule: Schedule {
            send_at: optional_instant(row, "send_at")?,
            expires_at: optional_instant(row, "expires_at")?,
        },
        delivery,
    })
}

/// The outbox entry of a message, by the columns that only an entry has.
fn entry(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Option<OutboxState>> {
    let Some(due_at) = optional_instant(row, "due_at")? else {
        return Ok(None);
    };
    let dead = optional_instant(row, "dead_at")?.is_some();
    let delayed = optional_instant(row, "send_at")?.is_some();
    let untried = row.get::<_, i64>("attempts")? == 0;
    Ok(Some(if dead {
        OutboxState::Dead
    } else if delayed && untried && due_at > now {
        OutboxState::Scheduled
    } else {
        OutboxState::Pending
    }))
}

pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Option<Delivery>> {
    let Some(status) = optional_word(row, "delivery_status")? else {
        return Ok(None);
    };
    Ok(Some(Delivery {
        status,
        error_code: error_code(row, "delivery_error_code")?,
        at: instant(row, "delivery_at")?,
        contradicted: row.get("delivery_contradicted")?,
    }))
}

pub(super) fn receipt(row: &Row<'_>) -> rusqlite::Result<StoredReceipt> {
    let message = |column: &'static str| -> rusqlite::Result<Option<MessageId>> {
        Ok(row.get::<_, Option<Uuid>>(column)?.map(MessageId::from))
    };
    Ok(StoredReceipt {
        position: ReceiptPosition(count(row.get("id")?)?),
        receipt: Receipt {
            provider: optional_word(row, "provider")?,
            provider_message_id: optional_word(row, "provider_message_id")?,
            message_id: message("named_message_id")?,
            status: word(row, "status")?,
            error_code: error_code(row, "error_code")?,
            at: instant(row, "at")?,
            received_at: instant(row, "received_at")?,
        },
        applied_to: message("message_id")?,
    })
}

pub(super) fn content(row: &Row<'_>) -> rusqlite::Result<Content> {
    let attachments: Option<String> = row.get("attachments")?;
    let metadata: Option<String> = row.get("metadata")?;
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
        metadata: json::to_metadata(metadata.as_deref()).ok_or_else(|| corrupt("metadata"))?,
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

pub(super) fn optional_instant(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column)?;
    micros
        .map(|micros| Timestamp::from_micros(micros).ok_or_else(|| corrupt(column)))
        .transpose()
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

pub(super) fn optional_word<T: FromStr>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

pub(super) fn error_code(row: &Row<'_>, column: &'static str) -> rusqlite::Result<Option<ErrorCode>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .map(ErrorCode::from_provider))
}

pub(super) fn corrupt(column: &'static str) -> rusqlite::Error {
    let reason = format!(
        "the column {column} holds a value that this program does not know: a newer program or a person wrote it"
    );
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, reason.into())
}
