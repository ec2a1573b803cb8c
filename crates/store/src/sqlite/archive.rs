use std::time::Duration;

use async_trait::async_trait;
use domain::{ConversationKey, GivenAddress, MessageId};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Sqlite, accept, micros, rows};
use crate::{Archive, Assigned, Import, StoreError, WithoutConversation};

#[async_trait]
impl Archive for Sqlite {
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        let batch = batch.to_vec();
        self.write(move |connection, _| {
            let mut imported = 0;
            for import in &batch {
                imported += u64::from(import_one(connection, import)?);
            }
            Ok(imported)
        })
        .await
    }

    async fn count_without_conversation(&self) -> Result<u64, StoreError> {
        self.read(move |connection, _| {
            let count = connection
                .prepare_cached(include_str!("../../sql/messages/count_without_conversation.sql"))?
                .query_row([], |row| row.get(0))?;
            rows::count(count)
        })
        .await
    }

    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError> {
        self.read(move |connection, _| {
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
        })
        .await
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        let batch = batch.to_vec();
        self.write(move |connection, _| {
            let mut assigned = Assigned::default();
            for (id, key) in &batch {
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
        })
        .await
    }

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection, now| {
            let oldest = now.as_micros().saturating_sub(micros(kept));
            let purged = connection
                .prepare_cached(include_str!("../../sql/idempotency_keys/purge.sqlite.sql"))?
                .execute(params![oldest, limit])?;
            Ok(purged as u64)
        })
        .await
    }
}

fn import_one(connection: &Connection, import: &Import) -> rusqlite::Result<bool> {
    let Import {
        id,
        direction,
        message,
        processed_at,
        provider,
        provider_message_id,
        payload,
    } = import;
    if accept::find_inbound(connection, provider, provider_message_id, message)?.is_some() {
        return Ok(false);
    }
    let row = accept::NewRow {
        id: *id,
        place: None,
        direction: *direction,
        message,
        timestamp: import.timestamp(),
        processed_at: *processed_at,
        provider,
    };
    accept::insert_message(connection, row)?;
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
    Ok(true)
}
