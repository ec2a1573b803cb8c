use std::time::Duration;

use async_trait::async_trait;
use domain::{ConversationKey, GivenAddress, MessageId};
use uuid::Uuid;

use super::{Postgres, millis_float, rows};
use crate::{Archive, Assigned, Import, StoreError, WithoutConversation, json};

#[async_trait]
impl Archive for Postgres {
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        let texts = |column: fn(&Import) -> &str| batch.iter().map(column).collect::<Vec<_>>();
        let times = |column: fn(&Import) -> jiff::Timestamp| batch.iter().map(column).collect::<Vec<_>>();
        let ids: Vec<Uuid> = batch.iter().map(|import| import.id.as_uuid()).collect();
        let subjects: Vec<Option<&str>> = batch
            .iter()
            .map(|import| {
                import
                    .message
                    .content
                    .subject
                    .as_ref()
                    .map(domain::Subject::as_str)
            })
            .collect();
        let attachments: Vec<Option<String>> = batch
            .iter()
            .map(|import| json::from_attachments(&import.message.content.attachments))
            .collect();
        let metadata: Vec<Option<String>> = batch
            .iter()
            .map(|import| json::from_metadata(&import.message.content.metadata))
            .collect();
        self.change(
            include_str!("../../sql/messages/import.postgres.sql"),
            &[
                &ids,
                &texts(|import| import.direction.as_str()),
                &texts(|import| import.message.content.channel.as_str()),
                &texts(|import| import.message.content.from.as_str()),
                &texts(|import| import.message.content.to.as_str()),
                &subjects,
                &texts(|import| import.message.content.body.as_str()),
                &attachments,
                &times(|import| import.timestamp().into()),
                &times(|import| import.processed_at.into()),
                &texts(|import| import.provider.as_str()),
                &texts(|import| import.provider_message_id.as_str()),
                &texts(|import| import.message.from.as_str()),
                &texts(|import| import.message.to.as_str()),
                &texts(|import| &import.payload),
                &metadata,
            ],
        )
        .await
    }

    async fn count_without_conversation(&self) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/messages/count_without_conversation.sql");
        let rows = self.read(sql, &[]).await?;
        rows::count(rows.first().map_or(Ok(0), |row| rows::get(row, "count"))?)
    }

    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError> {
        let after = after.map_or(Uuid::nil(), MessageId::as_uuid);
        let sql = include_str!("../../sql/messages/without_conversation.postgres.sql");
        let rows = self.read(sql, &[&after, &i64::from(limit)]).await?;
        let without_conversation = |row| {
            Ok(WithoutConversation {
                id: rows::get::<Uuid>(row, "id")?.into(),
                channel: rows::word(row, "channel")?,
                from: GivenAddress::from_stored(rows::get::<String>(row, "sender")?),
                to: GivenAddress::from_stored(rows::get::<String>(row, "recipient")?),
            })
        };
        rows.iter().map(without_conversation).collect()
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        let texts =
            |part: fn(&ConversationKey) -> &str| batch.iter().map(|(_, key)| part(key)).collect::<Vec<_>>();
        let ids: Vec<Uuid> = batch.iter().map(|(id, _)| id.as_uuid()).collect();
        let assigned = self
            .write(
                include_str!("../../sql/messages/assign.postgres.sql"),
                &[
                    &ids,
                    &texts(|key| key.channel().as_str()),
                    &texts(|key| key.participant_a().as_str()),
                    &texts(|key| key.participant_b().as_str()),
                ],
            )
            .await?;
        let sequences = assigned.iter().map(|row| rows::get::<i64>(row, "sequence"));
        let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
        Ok(Assigned {
            messages: sequences.len() as u64,
            conversations: sequences.iter().filter(|sequence| **sequence == 1).count() as u64,
        })
    }

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/idempotency_keys/purge.postgres.sql");
        self.change(sql, &[&millis_float(kept), &i64::from(limit)]).await
    }
}
