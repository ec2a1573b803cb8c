//! Reads rows back into domain types. A value that does not fit was not written by this program, and is an error.

use std::{str::FromStr, sync::Arc, time::Duration};

use domain::{
    Attempt, Body, Content, Conversation, ConversationId, ConversationKey, Delivery, ErrorCode, Event,
    EventId, EventSubject, EventType, Failure, FollowUpAction, GivenAddress, LeaseToken, Message, MessageId,
    Participant, Receipt, ReceiptPosition, Schedule, Subject, Timestamp,
};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::{Claimed, DueFollowUp, FollowUpKey, Leased, Progress, StoreError, StoredReceipt, json};

pub(super) fn message(row: &Row) -> Result<Message, StoreError> {
    let conversation_id: Option<i64> = get(row, "conversation_id")?;
    let sequence: Option<i64> = get(row, "sequence")?;
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
        id: get::<Uuid>(row, "id")?.into(),
        thread,
        direction: word(row, "direction")?,
        content: content(row)?,
        timestamp: get::<jiff::Timestamp>(row, "timestamp")?.into(),
        processed_at: get::<jiff::Timestamp>(row, "processed_at")?.into(),
        status: word(row, "status")?,
        provider: optional_word(row, "provider")?,
        failure,
        schedule: Schedule {
            send_at: moment(row, "send_at")?,
            expires_at: moment(row, "expires_at")?,
        },
        delivery: delivery(row)?,
    })
}

fn delivery(row: &Row) -> Result<Option<Delivery>, StoreError> {
    let Some(status) = optional_word(row, "delivery_status")? else {
        return Ok(None);
    };
    Ok(Some(Delivery {
        status,
        error_code: error_code(row, "delivery_error_code")?,
        at: get::<jiff::Timestamp>(row, "delivery_at")?.into(),
        contradicted: get(row, "delivery_contradicted")?,
    }))
}

pub(super) fn conversation(row: &Row) -> Result<Conversation, StoreError> {
    let [one, other] = ["participant_a", "participant_b"].map(|column| get::<String>(row, column));
    Ok(Conversation {
        id: ConversationId::new(get(row, "listed_id")?).ok_or_else(|| corrupt("listed_id"))?,
        key: ConversationKey::new(
            word(row, "conversation_channel")?,
            Participant::from_stored(one?),
            Participant::from_stored(other?),
        ),
        message_count: count(get(row, "message_count")?)?,
        last_activity_at: get::<jiff::Timestamp>(row, "last_activity_at")?.into(),
        created_at: get::<jiff::Timestamp>(row, "created_at")?.into(),
    })
}

pub(super) fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        number: count(i64::from(get::<i32>(row, "number")?))?,
        provider: word(row, "attempt_provider")?,
        outcome: word(row, "outcome")?,
        error_code: error_code(row, "error_code")?,
        occurred_at: get::<jiff::Timestamp>(row, "occurred_at")?.into(),
        latency: Duration::from_millis(count(get(row, "latency_ms")?)?),
        late_outcome: optional_word(row, "late_outcome")?,
        provider_message_id: optional_word(row, "provider_message_id")?,
    })
}

pub(super) fn stored_receipt(row: &Row) -> Result<StoredReceipt, StoreError> {
    Ok(StoredReceipt {
        position: ReceiptPosition(count(get(row, "id")?)?),
        receipt: receipt(row)?,
        applied_to: get::<Option<Uuid>>(row, "message_id")?.map(MessageId::from),
    })
}

pub(super) fn receipt(row: &Row) -> Result<Receipt, StoreError> {
    Ok(Receipt {
        provider: optional_word(row, "provider")?,
        provider_message_id: optional_word(row, "provider_message_id")?,
        message_id: get::<Option<Uuid>>(row, "named_message_id")?.map(MessageId::from),
        status: word(row, "status")?,
        error_code: error_code(row, "error_code")?,
        at: get::<jiff::Timestamp>(row, "at")?.into(),
        received_at: get::<jiff::Timestamp>(row, "received_at")?.into(),
    })
}

pub(super) fn due_follow_up(row: &Row) -> Result<DueFollowUp, StoreError> {
    let action = match optional_word(row, "receipt_status")? {
        Some(status) => FollowUpAction::Receipt {
            status,
            error_code: error_code(row, "error_code")?,
        },
        None => FollowUpAction::Reply {
            body: Body::new(get::<String>(row, "reply_body")?).map_err(|_| corrupt("reply_body"))?,
        },
    };
    Ok(DueFollowUp {
        key: FollowUpKey {
            message_id: get::<Uuid>(row, "message_id")?.into(),
            attempt: count(i64::from(get::<i32>(row, "attempt")?))?,
            place: count(i64::from(get::<i32>(row, "place")?))?,
        },
        provider: word(row, "provider")?,
        provider_message_id: optional_word(row, "provider_message_id")?,
        due_at: get::<jiff::Timestamp>(row, "due_at")?.into(),
        action,
    })
}

pub(super) fn event(row: &Row) -> Result<Event, StoreError> {
    let kind = word(row, "type")?;
    let subject_id: Uuid = get(row, "subject_id")?;
    let subject = match kind {
        EventType::WebhookEndpointDisabled => EventSubject::WebhookEndpoint {
            id: subject_id.into(),
            reason: word(row, "reason")?,
        },
        _ => EventSubject::Message {
            message_id: subject_id.into(),
            conversation_id: ConversationId::new(get(row, "conversation_id")?)
                .ok_or_else(|| corrupt("conversation_id"))?,
            reason: optional_word(row, "reason")?,
            error_code: error_code(row, "error_code")?,
        },
    };
    Ok(Event {
        id: event_id(row, "position")?,
        kind,
        at: get::<jiff::Timestamp>(row, "at")?.into(),
        subject,
    })
}

pub(super) fn event_id(row: &Row, column: &'static str) -> Result<EventId, StoreError> {
    EventId::new(count(get(row, column)?)?).ok_or_else(|| corrupt(column))
}

/// `content_row` is the row that has the content.
pub(super) fn claimed(row: &Row, content_row: &Row) -> Result<Claimed, StoreError> {
    let progress = Progress {
        attempts: count(i64::from(get::<i32>(row, "attempts")?))?,
        lost: count(i64::from(get::<i32>(row, "lost")?))?,
        counted: count(i64::from(get::<i32>(row, "counted")?))?,
        rate_limited_in_a_row: count(i64::from(get::<i32>(row, "rate_limited_in_a_row")?))?,
        panics: count(i64::from(get::<i32>(row, "panics")?))?,
        not_taken: count(i64::from(get::<i32>(row, "not_taken")?))?,
        unsure: get(row, "unsure")?,
    };
    let deadline_in_ms: i64 = get(row, "deadline_in_ms")?;
    let leased = Leased {
        id: get::<Uuid>(row, "id")?.into(),
        conversation_id: ConversationId::new(get(row, "conversation_id")?)
            .ok_or_else(|| corrupt("conversation_id"))?,
        content: Arc::new(content(content_row)?),
        token: LeaseToken(get(row, "lease_token")?),
        progress,
    };
    Ok(Claimed {
        leased,
        deadline_in: Duration::from_millis(u64::try_from(deadline_in_ms).unwrap_or(0)),
        lease_expired: get(row, "lease_expired")?,
    })
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &'static str) -> Result<T, StoreError> {
    row.try_get(column).map_err(|_| corrupt(column))
}

pub(super) fn word<T: FromStr>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    get::<&str>(row, column)?.parse().map_err(|_| corrupt(column))
}

pub(super) fn count<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| corrupt("a count"))
}

fn content(row: &Row) -> Result<Content, StoreError> {
    let attachments: Option<&str> = get(row, "attachments")?;
    let attachments = json::to_attachments(attachments).ok_or_else(|| corrupt("attachments"))?;
    let subject: Option<String> = get(row, "subject")?;
    let subject = subject
        .map(Subject::new)
        .transpose()
        .map_err(|_| corrupt("subject"))?;
    Ok(Content {
        channel: word(row, "channel")?,
        from: GivenAddress::from_stored(get::<String>(row, "sender")?),
        to: GivenAddress::from_stored(get::<String>(row, "recipient")?),
        subject,
        body: Body::new(get::<String>(row, "body")?).map_err(|_| corrupt("body"))?,
        attachments,
        metadata: json::to_metadata(get(row, "metadata")?).ok_or_else(|| corrupt("metadata"))?,
    })
}

pub(super) fn moment(row: &Row, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<jiff::Timestamp>>(row, column)?.map(Timestamp::from))
}

pub(super) fn optional_word<T: FromStr>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = get(row, column)?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

pub(super) fn error_code(row: &Row, column: &'static str) -> Result<Option<ErrorCode>, StoreError> {
    let text: Option<&str> = get(row, column)?;
    Ok(text.map(ErrorCode::from_provider))
}

pub(super) fn corrupt(column: &str) -> StoreError {
    StoreError::Refused(format!(
        "the column {column} holds a value that this program does not know: a newer program or a person wrote it"
    ))
}
