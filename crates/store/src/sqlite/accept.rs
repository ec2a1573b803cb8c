use async_trait::async_trait;
use domain::{
    ConversationId, ConversationKey, Direction, EventType, MessageId, NewMessage, ProviderMessageId,
    ProviderName, Schedule, Subject, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Sqlite, events::NewEvents, rows};
use crate::{
    Accept, Accepted, Accepting, FIRST_LEASE, IdempotentRequest, Kind, StoreError, instant_after, json,
};

#[async_trait]
impl Accepting for Sqlite {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let batch = batch.to_vec();
        self.write(move |connection, now| {
            let mut events = NewEvents::default();
            let accepted = batch
                .iter()
                .map(|accept| accept_one(connection, accept, now, &mut events));
            let accepted = accepted.collect::<rusqlite::Result<_>>()?;
            events.write(connection, now)?;
            Ok(accepted)
        })
        .await
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        let batch = batch.to_vec();
        self.read(move |connection, _| {
            let found = batch.iter().map(|accept| match own(connection, accept.id)? {
                Some(accepted) => Ok(Some(accepted)),
                None => repeated(connection, accept),
            });
            found.collect()
        })
        .await
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        let request = request.clone();
        self.read(move |connection, _| find_key(connection, &request))
            .await
    }
}

fn accept_one(
    connection: &Connection,
    accept: &Accept,
    now: Timestamp,
    events: &mut NewEvents,
) -> rusqlite::Result<Accepted> {
    let Accept {
        id,
        message,
        processed_at,
        provider,
        kind,
    } = accept;
    let timestamp = accept.timestamp();
    // Only one thread writes, so no repeat can come between the look-up and the insert.
    if let Some(earlier) = repeated(connection, accept)? {
        return Ok(earlier);
    }
    let (conversation_id, sequence) = join(
        connection,
        &message.conversation(),
        timestamp.as_micros(),
        processed_at.as_micros(),
    )?;
    let direction = match kind {
        Kind::Send { .. } => Direction::Outbound,
        Kind::Receive { .. } => Direction::Inbound,
    };
    insert_message(
        connection,
        NewRow {
            id: *id,
            place: Some((conversation_id, sequence)),
            direction,
            message,
            timestamp,
            processed_at: *processed_at,
            provider,
        },
    )?;
    match kind {
        Kind::Send {
            request,
            deadline,
            lease,
        } => {
            if let Some(request) = request {
                connection
                    .prepare_cached(include_str!("../../sql/idempotency_keys/insert.sqlite.sql"))?
                    .execute(params![
                        request.key.as_str(),
                        request.fingerprint.0,
                        id.as_uuid(),
                        now.as_micros()
                    ])?;
            }
            let Schedule { send_at, expires_at } = message.schedule;
            let due_at = send_at.map_or(now, |send_at| send_at.max(now));
            let lease = lease.filter(|_| send_at.is_none());
            connection
                .prepare_cached(include_str!("../../sql/outbox/insert.sqlite.sql"))?
                .execute(params![
                    id.as_uuid(),
                    conversation_id,
                    provider.as_str(),
                    message.content.channel.as_str(),
                    due_at.as_micros(),
                    send_at.is_some(),
                    lease.map(|lease| instant_after(now, lease).as_micros()),
                    if lease.is_some() { FIRST_LEASE.0 } else { 0 },
                    expires_at
                        .unwrap_or_else(|| instant_after(due_at, *deadline))
                        .as_micros(),
                ])?;
        }
        Kind::Receive {
            provider_message_id,
            payload,
        } => {
            connection
                .prepare_cached(include_str!("../../sql/inbound_ids/insert.sqlite.sql"))?
                .execute(params![
                    provider.as_str(),
                    provider_message_id.as_str(),
                    message.from.as_str(),
                    message.to.as_str(),
                    id.as_uuid(),
                    payload
                ])?;
        }
    }
    let conversation_id = rows::conversation_id(conversation_id)?;
    if sequence == 1 {
        events.of_message(EventType::ConversationCreated, id.as_uuid(), conversation_id);
    }
    let accepted = match direction {
        Direction::Outbound => EventType::MessageAccepted,
        Direction::Inbound => EventType::MessageReceived,
    };
    events.of_message(accepted, id.as_uuid(), conversation_id);
    Ok(Accepted::New {
        conversation_id,
        sequence: rows::count(sequence)?,
    })
}

/// The columns of a new message.
pub(super) struct NewRow<'a> {
    pub(super) id: MessageId,
    /// The conversation and the sequence in it; `None` for an import.
    pub(super) place: Option<(i64, i64)>,
    pub(super) direction: Direction,
    pub(super) message: &'a NewMessage,
    pub(super) timestamp: Timestamp,
    pub(super) processed_at: Timestamp,
    pub(super) provider: &'a ProviderName,
}

pub(super) fn insert_message(connection: &Connection, row: NewRow<'_>) -> rusqlite::Result<()> {
    let NewRow {
        id,
        place,
        direction,
        message,
        timestamp,
        processed_at,
        provider,
    } = row;
    let content = &message.content;
    let Schedule { send_at, expires_at } = message.schedule;
    connection
        .prepare_cached(include_str!("../../sql/messages/insert.sqlite.sql"))?
        .execute(params![
            id.as_uuid(),
            place.map(|(conversation_id, _)| conversation_id),
            place.map(|(_, sequence)| sequence),
            direction.as_str(),
            content.channel.as_str(),
            content.from.as_str(),
            content.to.as_str(),
            message.from.as_str(),
            message.to.as_str(),
            content.subject.as_ref().map(Subject::as_str),
            content.body.as_str(),
            json::from_attachments(&content.attachments),
            json::from_metadata(&content.metadata),
            timestamp.as_micros(),
            processed_at.as_micros(),
            send_at.map(Timestamp::as_micros),
            expires_at.map(Timestamp::as_micros),
            provider.as_str(),
        ])?;
    Ok(())
}

/// Adds a message to its conversation, which may be new. Returns the conversation's id and the message's sequence.
pub(super) fn join(
    connection: &Connection,
    key: &ConversationKey,
    timestamp: i64,
    processed_at: i64,
) -> rusqlite::Result<(i64, i64)> {
    connection
        .prepare_cached(include_str!("../../sql/conversations/upsert.sqlite.sql"))?
        .query_row(
            params![
                key.channel().as_str(),
                key.participant_a().as_str(),
                key.participant_b().as_str(),
                timestamp,
                processed_at,
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
}

/// The earlier request that a message repeats.
fn repeated(connection: &Connection, accept: &Accept) -> rusqlite::Result<Option<Accepted>> {
    match &accept.kind {
        Kind::Send { request, .. } => match request {
            Some(request) => find_key(connection, request),
            None => Ok(None),
        },
        Kind::Receive {
            provider_message_id, ..
        } => find_inbound(connection, &accept.provider, provider_message_id, &accept.message),
    }
}

fn find_key(connection: &Connection, request: &IdempotentRequest) -> rusqlite::Result<Option<Accepted>> {
    connection
        .prepare_cached(include_str!("../../sql/idempotency_keys/find.sqlite.sql"))?
        .query_row(params![request.key.as_str(), request.fingerprint.0], |row| {
            if row.get("conflict")? {
                return Ok(Accepted::KeyConflict);
            }
            repeat(row, false)
        })
        .optional()
}

pub(super) fn find_inbound(
    connection: &Connection,
    provider: &ProviderName,
    id: &ProviderMessageId,
    message: &NewMessage,
) -> rusqlite::Result<Option<Accepted>> {
    let content = &message.content;
    connection
        .prepare_cached(include_str!("../../sql/inbound_ids/find.sqlite.sql"))?
        .query_row(
            params![
                provider.as_str(),
                id.as_str(),
                message.from.as_str(),
                message.to.as_str(),
                content.channel.as_str(),
                content.subject.as_ref().map(Subject::as_str),
                content.body.as_str(),
                json::from_attachments(&content.attachments),
            ],
            |row| repeat(row, row.get("differs")?),
        )
        .optional()
}

fn repeat(row: &Row<'_>, differs: bool) -> rusqlite::Result<Accepted> {
    let conversation_id: Option<i64> = row.get("conversation_id")?;
    Ok(Accepted::Repeated {
        id: row.get::<_, Uuid>("id")?.into(),
        conversation_id: conversation_id.and_then(ConversationId::new),
        differs,
    })
}

fn own(connection: &Connection, id: MessageId) -> rusqlite::Result<Option<Accepted>> {
    connection
        .prepare_cached(include_str!("../../sql/messages/place.sqlite.sql"))?
        .query_row([id.as_uuid()], |row| {
            let conversation_id: ConversationId = rows::conversation_id(row.get(0)?)?;
            Ok(Accepted::New {
                conversation_id,
                sequence: rows::count(row.get(1)?)?,
            })
        })
        .optional()
}
