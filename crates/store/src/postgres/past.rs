//! Messages from before: imported without a conversation, and given one by the backfill.

use std::collections::BTreeMap;

use domain::{ConversationKey, GivenAddress, MessageId};
use tokio::try_join;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Postgres,
    connections::{Attempt, Retries, begin_counting, limited},
    failure::QueryFailure,
    rows,
    shares::{self, Shares},
};
use crate::{Assigned, Import, StoreError, Unthreaded, json};

pub(super) async fn import(store: &Postgres, batch: &[Import]) -> Result<u64, StoreError> {
    let texts = |column: fn(&Import) -> &str| batch.iter().map(column).collect::<Vec<_>>();
    let times = |column: fn(&Import) -> jiff::Timestamp| batch.iter().map(column).collect::<Vec<_>>();
    let ids: Vec<Uuid> = batch.iter().map(|import| import.id.as_uuid()).collect();
    let subjects: Vec<Option<&str>> = batch
        .iter()
        .map(|import| import.content.subject.as_ref().map(domain::Subject::as_str))
        .collect();
    let attachments: Vec<Option<String>> = batch
        .iter()
        .map(|import| json::from_attachments(&import.content.attachments))
        .collect();
    store
        .change(
            include_str!("../../sql/messages/import.postgres.sql"),
            &[
                &ids,
                &texts(|import| import.direction.as_str()),
                &texts(|import| import.content.channel.as_str()),
                &texts(|import| import.content.from.as_str()),
                &texts(|import| import.content.to.as_str()),
                &subjects,
                &texts(|import| import.content.body.as_str()),
                &attachments,
                &times(|import| import.timestamp.into()),
                &times(|import| import.processed_at.into()),
                &texts(|import| import.provider.as_str()),
                &texts(|import| import.provider_message_id.as_str()),
                &texts(|import| &import.payload),
            ],
        )
        .await
}

pub(super) async fn count_unthreaded(store: &Postgres) -> Result<u64, StoreError> {
    let sql = include_str!("../../sql/messages/count_unthreaded.postgres.sql");
    super::conversations::counted(&store.read(sql, &[]).await?)
}

pub(super) async fn unthreaded(
    store: &Postgres,
    after: Option<MessageId>,
    limit: u32,
) -> Result<Vec<Unthreaded>, StoreError> {
    let after = after.map_or(Uuid::nil(), MessageId::as_uuid);
    let sql = include_str!("../../sql/messages/unthreaded.postgres.sql");
    let rows = store.read(sql, &[&after, &i64::from(limit)]).await?;
    let unthreaded = |row| {
        Ok(Unthreaded {
            id: rows::get::<Uuid>(row, "id")?.into(),
            channel: rows::word(row, "channel")?,
            from: GivenAddress::from_stored(rows::get::<String>(row, "sender")?),
            to: GivenAddress::from_stored(rows::get::<String>(row, "recipient")?),
        })
    };
    rows.iter().map(unthreaded).collect()
}

pub(super) async fn assign(
    store: &Postgres,
    batch: &[(MessageId, ConversationKey)],
) -> Result<Assigned, StoreError> {
    let mut retries = Retries::default();
    loop {
        let attempt = store.others.attempt().await?;
        let result = limited(transact(&attempt, batch)).await;
        if let Some(assigned) = attempt.end(result, &mut retries)? {
            return Ok(assigned);
        }
    }
}

async fn transact(
    attempt: &Attempt,
    batch: &[(MessageId, ConversationKey)],
) -> Result<Assigned, QueryFailure> {
    let client = attempt.client();
    let lock = include_str!("../../sql/messages/lock_unthreaded.postgres.sql");
    let update = include_str!("../../sql/messages/assign.postgres.sql");
    // Before the transaction begins, as whatever is sent together must find its statement prepared.
    let lock = client.prepare_cached(lock).await?;
    let upsert = client.prepare_cached(shares::SQL).await?;
    let update = client.prepare_cached(update).await?;
    let ids: Vec<Uuid> = batch.iter().map(|(id, _)| id.as_uuid()).collect();
    let params: [&(dyn ToSql + Sync); 1] = [&ids];
    let locked = try_join!(biased; begin_counting(client), client.query(&lock, &params))?.1;
    let mut times = BTreeMap::new();
    for row in &locked {
        let timestamp: jiff::Timestamp = rows::get(row, "timestamp")?;
        let processed_at: jiff::Timestamp = rows::get(row, "processed_at")?;
        times.insert(
            rows::get::<Uuid>(row, "id")?,
            (timestamp.into(), processed_at.into()),
        );
    }
    let joining: Vec<&(MessageId, ConversationKey)> = batch
        .iter()
        .filter(|(id, _)| times.contains_key(&id.as_uuid()))
        .collect();
    let mut shares = Shares::default();
    for (id, key) in &joining {
        let (timestamp, processed_at) = times[&id.as_uuid()];
        shares.add(key, timestamp, processed_at);
    }
    let threads = shares.upsert(client, &upsert).await?;
    let places = shares.places(joining.iter().map(|(_, key)| key), &threads)?;
    let ids: Vec<Uuid> = joining.iter().map(|(id, _)| id.as_uuid()).collect();
    let (conversations, sequences): (Vec<i64>, Vec<i64>) =
        places.iter().map(|(id, sequence)| (id.get(), *sequence)).unzip();
    let params: [&(dyn ToSql + Sync); 3] = [&ids, &conversations, &sequences];
    attempt.commits();
    try_join!(biased; client.query(&update, &params), client.batch_execute("commit"))?;
    Ok(Assigned {
        messages: ids.len() as u64,
        conversations: sequences.iter().filter(|sequence| **sequence == 1).count() as u64,
    })
}
