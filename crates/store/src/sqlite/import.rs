//! Messages from before: imported without a conversation, and given one by the backfill.

use domain::{ConversationKey, GivenAddress, MessageId};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{accept, rows};
use crate::{Assigned, Import, WithoutConversation, json};

pub(super) fn import(connection: &Connection, batch: &[Import]) -> rusqlite::Result<u64> {
    let mut imported = 0;
    for import in batch {
        imported += u64::from(import_one(connection, import)?);
    }
    Ok(imported)
}

fn import_one(connection: &Connection, import: &Import) -> rusqlite::Result<bool> {
    let Import {
        id,
        direction,
        content,
        timestamp,
        processed_at,
        provider,
        provider_message_id,
        payload,
    } = import;
    let inbound_id = (provider.as_str(), provider_message_id.as_str());
    if accept::find(connection, None, Some(inbound_id))?.is_some() {
        return Ok(false);
    }
    connection
        .prepare_cached(include_str!("../../sql/messages/import.sqlite.sql"))?
        .execute(params![
            id.as_uuid(),
            direction.as_str(),
            content.channel.as_str(),
            content.from.as_str(),
            content.to.as_str(),
            content.subject.as_ref().map(domain::Subject::as_str),
            content.body.as_str(),
            json::from_attachments(&content.attachments),
            timestamp.as_micros(),
            processed_at.as_micros(),
            provider.as_str(),
        ])?;
    connection
        .prepare_cached(include_str!("../../sql/inbound_ids/insert.sqlite.sql"))?
        .execute(params![inbound_id.0, inbound_id.1, id.as_uuid(), payload])?;
    Ok(true)
}

pub(super) fn count_without_conversation(connection: &Connection) -> rusqlite::Result<u64> {
    let count = connection
        .prepare_cached(include_str!(
            "../../sql/messages/count_without_conversation.sqlite.sql"
        ))?
        .query_row([], |row| row.get(0))?;
    rows::count(count)
}

pub(super) fn without_conversation(
    connection: &Connection,
    after: Option<MessageId>,
    limit: u32,
) -> rusqlite::Result<Vec<WithoutConversation>> {
    let after = after.map_or(Uuid::nil(), MessageId::as_uuid);
    connection
        .prepare_cached(include_str!("../../sql/messages/without_conversation.sqlite.sql"))?
        .query_map(params![after, limit], |row| {
            Ok(WithoutConversation {
                id: row.get::<_, Uuid>("id")?.into(),
                channel: rows::word(row, "channel")?,
                from: GivenAddress::from_stored(row.get::<_, String>("sender")?),
                to: GivenAddress::from_stored(row.get::<_, String>("recipient")?),
            })
        })?
        .collect()
}

pub(super) fn assign(
    connection: &Connection,
    batch: &[(MessageId, ConversationKey)],
) -> rusqlite::Result<Assigned> {
    let mut assigned = Assigned::default();
    for (id, key) in batch {
        let unassigned: Option<(i64, i64)> = connection
            .prepare_cached(include_str!("../../sql/messages/unassigned.sqlite.sql"))?
            .query_row([id.as_uuid()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((timestamp, processed_at)) = unassigned else {
            continue;
        };
        let (conversation_id, sequence) = accept::join(connection, key, timestamp, processed_at)?;
        connection
            .prepare_cached(include_str!("../../sql/messages/assign.sqlite.sql"))?
            .execute(params![id.as_uuid(), conversation_id, sequence])?;
        assigned.messages += 1;
        assigned.conversations += u64::from(sequence == 1);
    }
    Ok(assigned)
}
