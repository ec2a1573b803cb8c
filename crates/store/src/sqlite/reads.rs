use async_trait::async_trait;
use domain::{
    Conversation, ConversationChannel, ConversationId, ConversationPosition, Message, MessageId, Page,
    PageRequest, TOTAL_COUNTED_MAX, ThreadPosition, Timestamp, Total,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use uuid::Uuid;

use super::{Sqlite, listing, receipts, rows};
use crate::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError, Waiting,
};

#[async_trait]
impl Reads for Sqlite {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        self.read(move |connection, now| detail(connection, id, now))
            .await
    }

    async fn message_details(&self, ids: &[MessageId]) -> Result<Vec<MessageDetail>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection, now| {
            let details = ids
                .iter()
                .filter_map(|id| detail(connection, *id, now).transpose());
            details.collect()
        })
        .await
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.read(move |connection, now| listing::page(connection, &filter, &page, now))
            .await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        self.read(move |connection, now| {
            let conversation = conversation(connection, id)?;
            let listed = conversation.map(|conversation| listed(connection, conversation, now));
            listed.transpose()
        })
        .await
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.read(move |connection, now| {
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
                    .query_map(params, |row| listed(connection, rows::conversation(row)?, now))?
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
        self.read(move |connection, now| {
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
                |row| rows::message(row, now),
            )?;
            let total = Total::exact(conversation.message_count);
            Page::of_messages(&page, found, total, ThreadPosition::of).map(Some)
        })
        .await
    }
}

fn detail(connection: &Connection, id: MessageId, now: Timestamp) -> rusqlite::Result<Option<MessageDetail>> {
    let id = id.as_uuid();
    let Some(message) = message(connection, id, now)? else {
        return Ok(None);
    };
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
        receipts: receipts::of_message(connection, id)?,
        waiting,
    }))
}

fn message(connection: &Connection, id: Uuid, now: Timestamp) -> rusqlite::Result<Option<Message>> {
    connection
        .prepare_cached(include_str!("../../sql/messages/get.sqlite.sql"))?
        .query_row([id], |row| rows::message(row, now))
        .optional()
}

fn listed(
    connection: &Connection,
    conversation: Conversation,
    now: Timestamp,
) -> rusqlite::Result<ListedConversation> {
    let last: Option<Uuid> = connection
        .prepare_cached(include_str!("../../sql/messages/last_of_conversation.sqlite.sql"))?
        .query_row([conversation.id.get()], |row| row.get(0))
        .optional()?;
    let last_message = match last {
        Some(id) => message(connection, id, now)?,
        None => None,
    };
    Ok(ListedConversation {
        conversation,
        last_message,
    })
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
