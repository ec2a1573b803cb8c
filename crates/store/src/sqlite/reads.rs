use async_trait::async_trait;
use domain::{
    Channel, Conversation, ConversationChannel, ConversationId, ConversationPosition, Direction, Message,
    MessageId, Page, PageRequest, Status, TOTAL_COUNTED_MAX, ThreadPosition, Total,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Rows, ToSql, params, types::Value};
use uuid::Uuid;

use super::{Sqlite, rows};
use crate::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError, Waiting,
};

const MESSAGE_PROVIDERS: &str = include_str!("../../sql/messages/providers.sqlite.sql");

#[async_trait]
impl Reads for Sqlite {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        self.read(move |connection, now| {
            let id = id.as_uuid();
            let message = connection
                .prepare_cached(include_str!("../../sql/messages/get.sqlite.sql"))?
                .query_row([id], rows::message)
                .optional()?;
            let Some(message) = message else { return Ok(None) };
            let attempts = connection
                .prepare_cached(include_str!("../../sql/attempts/list.sqlite.sql"))?
                .query_map([id], rows::attempt)?
                .collect::<rusqlite::Result<_>>()?;
            let waiting = connection
                .prepare_cached(include_str!("../../sql/outbox/waiting.sqlite.sql"))?
                .query_row(params![id, now.as_micros()], |row| {
                    Ok(Waiting {
                        due_at: rows::instant(row, "due_at")?,
                        due: row.get("due")?,
                        leased: row.get("leased")?,
                    })
                })
                .optional()?;
            Ok(Some(MessageDetail {
                message,
                attempts,
                receipts: Vec::new(),
                waiting,
            }))
        })
        .await
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.read(move |connection, _| {
            let parts = indexed_messages(connection, &filter)?;
            let counted = count_ids(connection, &parts)?;
            let after = page.after().map_or(Uuid::max(), |id| id.as_uuid());
            let mut statements = parts
                .iter()
                .map(|part| connection.prepare_cached(part.sql))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut ids = NewestFirst::default();
            for (statement, part) in statements.iter_mut().zip(&parts) {
                ids.add(part.ids(statement, after)?)?;
            }
            let mut get = connection.prepare_cached(include_str!("../../sql/messages/get.sqlite.sql"))?;
            let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
            let found = ids.skip(offset).map(|id| get.query_row([id?], rows::message));
            Page::of_messages(&page, found, Total::capped(counted), |message| message.id)
        })
        .await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        self.read(move |connection, _| Ok(conversation(connection, id)?.map(listed)))
            .await
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.read(move |connection, _| {
            let channel = filter.channel.map(ConversationChannel::as_str);
            let (after_activity, after_id) = match page.after() {
                Some(position) => (position.last_activity_at.as_micros(), position.id.get()),
                None => (i64::MAX, i64::MAX),
            };
            let (limit, offset) = (page.size() + 1, page.offset() as i64);
            let count_max = TOTAL_COUNTED_MAX as i64 + 1;
            let list = |sql: &str, params: &[&dyn ToSql]| -> rusqlite::Result<Vec<ListedConversation>> {
                connection
                    .prepare_cached(sql)?
                    .query_map(params, |row| rows::conversation(row).map(listed))?
                    .collect()
            };
            let (items, counted) = match filter.participant.as_ref().map(domain::Participant::as_str) {
                None => (
                    list(
                        include_str!("../../sql/conversations/list.sqlite.sql"),
                        params![channel, after_activity, after_id, limit, offset],
                    )?,
                    count(
                        connection,
                        include_str!("../../sql/conversations/count.sqlite.sql"),
                        params![channel, count_max],
                    )?,
                ),
                Some(participant) => (
                    list(
                        include_str!("../../sql/conversations/list_of_participant.sqlite.sql"),
                        params![channel, after_activity, after_id, limit, offset, participant],
                    )?,
                    count(
                        connection,
                        include_str!("../../sql/conversations/count_of_participant.sqlite.sql"),
                        params![channel, count_max, participant],
                    )?,
                ),
            };
            Ok(Page::of(&page, items, Total::capped(counted), |listed| {
                ConversationPosition::of(&listed.conversation)
            }))
        })
        .await
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        let page = *page;
        self.read(move |connection, _| {
            let Some(conversation) = conversation(connection, id)? else {
                return Ok(None);
            };
            let (after_timestamp, after_sequence) = match page.after() {
                Some(position) => (position.timestamp.as_micros(), position.sequence as i64),
                None => (i64::MIN, 0),
            };
            let mut list = connection
                .prepare_cached(include_str!("../../sql/messages/list_of_conversation.sqlite.sql"))?;
            let found = list.query_map(
                params![
                    id.get(),
                    after_timestamp,
                    after_sequence,
                    page.size() + 1,
                    page.offset() as i64
                ],
                rows::message,
            )?;
            let total = Total::exact(conversation.message_count);
            Page::of_messages(&page, found, total, ThreadPosition::of).map(Some)
        })
        .await
    }
}

fn listed(conversation: Conversation) -> ListedConversation {
    ListedConversation {
        conversation,
        last_message: None,
    }
}

/// Messages whose ids one index has in order.
struct IndexedMessages {
    /// Lists their ids, newest first.
    sql: &'static str,
    /// The parameters of `sql` after its first, the id to start after.
    parameters: Vec<Value>,
}

impl IndexedMessages {
    fn ids<'s>(&self, statement: &'s mut CachedStatement<'_>, after: Uuid) -> rusqlite::Result<Rows<'s>> {
        let after: &dyn ToSql = &after;
        let own = self.parameters.iter().map(|value| value as &dyn ToSql);
        let parameters: Vec<&dyn ToSql> = std::iter::once(after).chain(own).collect();
        statement.query(&parameters[..])
    }
}

/// The messages that match a filter, in parts that one index each has in order: one part for each provider, channel and, where it matters, direction.
fn indexed_messages(
    connection: &Connection,
    filter: &MessageFilter,
) -> rusqlite::Result<Vec<IndexedMessages>> {
    let MessageFilter {
        status,
        channel,
        provider,
        ..
    } = filter;
    if (status, channel, provider) == (&None, &None, &None) {
        return Ok(vec![IndexedMessages {
            sql: include_str!("../../sql/messages/ids.sqlite.sql"),
            parameters: Vec::new(),
        }]);
    }
    let of_kind = include_str!("../../sql/messages/ids_of_kind.sqlite.sql");
    let (sql, providers, directions) = match status {
        Some(Status::Pending) => (
            include_str!("../../sql/outbox/pending_ids.sqlite.sql"),
            include_str!("../../sql/outbox/providers.sqlite.sql"),
            &[][..],
        ),
        Some(Status::Failed) => (
            include_str!("../../sql/outbox/dead_ids.sqlite.sql"),
            include_str!("../../sql/outbox/providers.sqlite.sql"),
            &[][..],
        ),
        Some(Status::Dispatched) => (of_kind, MESSAGE_PROVIDERS, &[Direction::Outbound][..]),
        Some(Status::Received) => (of_kind, MESSAGE_PROVIDERS, &[Direction::Inbound][..]),
        Some(_) | None => (of_kind, MESSAGE_PROVIDERS, Direction::ALL),
    };
    let providers: Vec<String> = match provider {
        Some(provider) => vec![provider.to_string()],
        None => connection
            .prepare_cached(providers)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?,
    };
    let channels = channel.map_or(Channel::ALL.to_vec(), |channel| vec![channel]);
    let mut parts = Vec::new();
    for provider in &providers {
        for channel in &channels {
            let of_outbox = vec![
                Value::from(provider.clone()),
                Value::from(channel.as_str().to_owned()),
            ];
            if directions.is_empty() {
                parts.push(IndexedMessages {
                    sql,
                    parameters: of_outbox.clone(),
                });
            }
            for direction in directions {
                let mut parameters = of_outbox.clone();
                parameters.push(Value::from(direction.as_str().to_owned()));
                parameters.push(Value::from(*status == Some(Status::Dispatched)));
                parts.push(IndexedMessages { sql, parameters });
            }
        }
    }
    Ok(parts)
}

/// Counts up to [`TOTAL_COUNTED_MAX`] + 1.
fn count_ids(connection: &Connection, parts: &[IndexedMessages]) -> rusqlite::Result<u64> {
    let mut counted = 0;
    for part in parts {
        let mut statement = connection.prepare_cached(part.sql)?;
        let mut ids = part.ids(&mut statement, Uuid::max())?;
        while counted <= TOTAL_COUNTED_MAX && ids.next()?.is_some() {
            counted += 1;
        }
    }
    Ok(counted)
}

/// Merges lists of ids that are newest first.
#[derive(Default)]
struct NewestFirst<'s>(Vec<(Uuid, Rows<'s>)>);

impl<'s> NewestFirst<'s> {
    fn add(&mut self, mut ids: Rows<'s>) -> rusqlite::Result<()> {
        let first = ids.next()?.map(|row| row.get(0)).transpose()?;
        self.0.extend(first.map(|id| (id, ids)));
        Ok(())
    }

    fn take_newest(&mut self) -> rusqlite::Result<Option<Uuid>> {
        let newest = (0..self.0.len()).max_by_key(|list| self.0[*list].0);
        let Some(newest) = newest else { return Ok(None) };
        let (id, ids) = self.0.swap_remove(newest);
        self.add(ids)?;
        Ok(Some(id))
    }
}

impl Iterator for NewestFirst<'_> {
    type Item = rusqlite::Result<Uuid>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take_newest().transpose()
    }
}

fn conversation(connection: &Connection, id: ConversationId) -> rusqlite::Result<Option<Conversation>> {
    connection
        .prepare_cached(include_str!("../../sql/conversations/get.sql"))?
        .query_row([id.get()], rows::conversation)
        .optional()
}

fn count(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> rusqlite::Result<u64> {
    let counted = connection
        .prepare_cached(sql)?
        .query_row(params, |row| row.get(0))?;
    rows::count(counted)
}
