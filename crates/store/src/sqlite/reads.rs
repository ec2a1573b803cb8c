use domain::{
    Channel, Conversation, ConversationChannel, ConversationId, ConversationPosition, Message, MessageId,
    Page, PageRequest, ProviderName, Status, TOTAL_COUNTED_MAX, ThreadPosition, Timestamp, Total,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use uuid::Uuid;

use super::rows;
use crate::{ConversationFilter, MessageDetail, MessageFilter, Waiting};

pub(super) fn detail(
    connection: &Connection,
    id: MessageId,
    now: Timestamp,
) -> rusqlite::Result<Option<MessageDetail>> {
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
        waiting,
    }))
}

pub(super) fn messages(
    connection: &Connection,
    filter: &MessageFilter,
    page: &PageRequest<MessageId>,
) -> rusqlite::Result<Page<Message, MessageId>> {
    let status = filter.status.map(Status::as_str);
    let channel = filter.channel.map(Channel::as_str);
    let provider = filter.provider.as_ref().map(ProviderName::as_str);
    let after = page.after().map_or(Uuid::max(), |id| id.as_uuid());
    // Whatever waits or is dead is found fastest in the outbox; its statements ask whether it is dead.
    let dead = filter.status == Some(Status::Failed);
    let (status, list, count_sql): (&dyn ToSql, _, _) = match filter.status {
        Some(Status::Pending | Status::Failed) => (
            &dead,
            include_str!("../../sql/outbox/list.sqlite.sql"),
            include_str!("../../sql/outbox/count.sqlite.sql"),
        ),
        Some(Status::Dispatched | Status::Received) | None => (
            &status,
            include_str!("../../sql/messages/list.sqlite.sql"),
            include_str!("../../sql/messages/count.sqlite.sql"),
        ),
    };
    let (limit, offset) = (page.size() + 1, page.offset() as i64);
    let items = connection
        .prepare_cached(list)?
        .query_map(
            params![status, channel, provider, after, limit, offset],
            rows::message,
        )?
        .collect::<rusqlite::Result<_>>()?;
    let count_max = TOTAL_COUNTED_MAX as i64 + 1;
    let counted = count(
        connection,
        count_sql,
        params![status, channel, provider, count_max],
    )?;
    Ok(Page::of(page, items, Total::capped(counted), |message| {
        message.id
    }))
}

pub(super) fn conversation(
    connection: &Connection,
    id: ConversationId,
) -> rusqlite::Result<Option<Conversation>> {
    connection
        .prepare_cached(include_str!("../../sql/conversations/get.sqlite.sql"))?
        .query_row([id.get()], rows::conversation)
        .optional()
}

pub(super) fn conversations(
    connection: &Connection,
    filter: &ConversationFilter,
    page: &PageRequest<ConversationPosition>,
) -> rusqlite::Result<Page<Conversation, ConversationPosition>> {
    let channel = filter.channel.map(ConversationChannel::as_str);
    let (after_activity, after_id) = match page.after() {
        Some(position) => (position.last_activity_at.as_micros(), position.id.get()),
        None => (i64::MAX, i64::MAX),
    };
    let (limit, offset) = (page.size() + 1, page.offset() as i64);
    let count_max = TOTAL_COUNTED_MAX as i64 + 1;
    let list = |sql: &str, params: &[&dyn ToSql]| -> rusqlite::Result<Vec<Conversation>> {
        connection
            .prepare_cached(sql)?
            .query_map(params, rows::conversation)?
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
    Ok(Page::of(
        page,
        items,
        Total::capped(counted),
        ConversationPosition::of,
    ))
}

pub(super) fn thread(
    connection: &Connection,
    id: ConversationId,
    page: &PageRequest<ThreadPosition>,
) -> rusqlite::Result<Option<Page<Message, ThreadPosition>>> {
    let Some(conversation) = conversation(connection, id)? else {
        return Ok(None);
    };
    let (after_timestamp, after_sequence) = match page.after() {
        Some(position) => (position.timestamp.as_micros(), position.sequence as i64),
        None => (i64::MIN, 0),
    };
    let items = connection
        .prepare_cached(include_str!("../../sql/messages/list_of_conversation.sqlite.sql"))?
        .query_map(
            params![
                id.get(),
                after_timestamp,
                after_sequence,
                page.size() + 1,
                page.offset() as i64
            ],
            rows::message,
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Page::of(
        page,
        items,
        Total::exact(conversation.message_count),
        ThreadPosition::of,
    )))
}

fn count(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> rusqlite::Result<u64> {
    let counted = connection
        .prepare_cached(sql)?
        .query_row(params, |row| row.get(0))?;
    rows::count(counted)
}
