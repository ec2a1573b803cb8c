//! The messages of a listing that is about participants or a conversation, found by their conversations.

use domain::{Channel, Participant, ProviderName, TOTAL_COUNTED_MAX};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::listing::{COLLECTED_MAX, Way};
use crate::MessageFilter;

/// The ids that match a filter with a participant or a conversation, in any order; `None` if there may be more than
/// [`COLLECTED_MAX`].
pub(super) fn collect(
    connection: &Connection,
    filter: &MessageFilter,
    way: Way,
) -> rusqlite::Result<Option<Vec<u128>>> {
    if way.impossible {
        return Ok(Some(Vec::new()));
    }
    let Some(conversations) = few(connection, filter)? else {
        return Ok(None);
    };
    let mut ids = Vec::new();
    for conversation in conversations {
        let sql = include_str!("../../sql/messages/ids_of_conversation.sqlite.sql");
        add_ids(
            connection,
            sql,
            Some(conversation),
            filter,
            way,
            COLLECTED_MAX,
            &mut ids,
        )?;
    }
    add_unthreaded(connection, filter, way, COLLECTED_MAX, &mut ids)?;
    Ok((ids.len() as u64 <= COLLECTED_MAX).then_some(ids))
}

/// The conversations of a filter that names a participant or one of them, unless they have more than [`COLLECTED_MAX`] messages.
fn few(connection: &Connection, filter: &MessageFilter) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut few = Vec::new();
    let mut messages = 0_i64;
    each(connection, filter, |id, message_count| {
        few.push(id);
        messages += message_count;
        Ok(messages <= COLLECTED_MAX.cast_signed())
    })?;
    Ok((messages <= COLLECTED_MAX.cast_signed()).then_some(few))
}

/// Calls `see` with the id and the number of messages of each conversation of a filter, until it returns false.
fn each(
    connection: &Connection,
    filter: &MessageFilter,
    mut see: impl FnMut(i64, i64) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    if let Some(id) = filter.conversation_id {
        let message_count = connection
            .prepare_cached(include_str!("../../sql/conversations/get.sql"))?
            .query_row([id.get()], |row| row.get("message_count"))
            .optional()?;
        if let Some(message_count) = message_count {
            see(id.get(), message_count)?;
        }
        return Ok(());
    }
    let (sql, participants) = match (&filter.from, &filter.to) {
        (Some(one), Some(other)) => (
            include_str!("../../sql/conversations/of_pair.sqlite.sql"),
            vec![one.min(other).as_str(), one.max(other).as_str()],
        ),
        (one, other) => (
            include_str!("../../sql/conversations/of_participant.sqlite.sql"),
            one.iter().chain(other).map(Participant::as_str).collect(),
        ),
    };
    let mut conversations = connection.prepare_cached(sql)?;
    let mut conversations = conversations.query(rusqlite::params_from_iter(participants))?;
    while let Some(row) = conversations.next()? {
        if !see(row.get(0)?, row.get(1)?)? {
            break;
        }
    }
    Ok(())
}

/// Counts up to [`TOTAL_COUNTED_MAX`] + 1 messages of participants or a conversation with more than [`COLLECTED_MAX`]; `None` for other
/// filters. It reads about as many rows as it counts.
pub(super) fn count_many(
    connection: &Connection,
    filter: &MessageFilter,
    way: Way,
) -> rusqlite::Result<Option<u64>> {
    let MessageFilter {
        status: None,
        channel: None,
        provider: None,
        direction: None,
        since: None,
        ..
    } = filter
    else {
        return Ok(None);
    };
    if !is_about_conversations(filter) || few(connection, filter)?.is_some() {
        return Ok(None);
    }
    let mut ids = Vec::new();
    each(connection, filter, |conversation, _| {
        let sql = include_str!("../../sql/messages/ids_of_conversation.sqlite.sql");
        add_ids(
            connection,
            sql,
            Some(conversation),
            filter,
            way,
            TOTAL_COUNTED_MAX,
            &mut ids,
        )?;
        Ok(ids.len() as u64 <= TOTAL_COUNTED_MAX)
    })?;
    add_unthreaded(connection, filter, way, TOTAL_COUNTED_MAX, &mut ids)?;
    Ok(Some(ids.len() as u64))
}

/// Whether a filter names a participant or a conversation.
pub(super) fn is_about_conversations(filter: &MessageFilter) -> bool {
    filter.from.is_some() || filter.to.is_some() || filter.conversation_id.is_some()
}

/// Adds the messages that wait for their conversation, up to `max` + 1 in all.
fn add_unthreaded(
    connection: &Connection,
    filter: &MessageFilter,
    way: Way,
    max: u64,
    ids: &mut Vec<u128>,
) -> rusqlite::Result<()> {
    if filter.conversation_id.is_some() {
        return Ok(());
    }
    let sql = match filter.from {
        Some(_) => include_str!("../../sql/messages/ids_unthreaded_from.sqlite.sql"),
        None => include_str!("../../sql/messages/ids_unthreaded_to.sqlite.sql"),
    };
    add_ids(connection, sql, None, filter, way, max, ids)
}

fn add_ids(
    connection: &Connection,
    sql: &str,
    conversation: Option<i64>,
    filter: &MessageFilter,
    way: Way,
    max: u64,
    ids: &mut Vec<u128>,
) -> rusqlite::Result<()> {
    let most = max.cast_signed() + 1 - ids.len() as i64;
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(
        params![
            conversation,
            filter.from.as_ref().map(Participant::as_str),
            filter.to.as_ref().map(Participant::as_str),
            filter.provider.as_ref().map(ProviderName::as_str),
            filter.channel.map(Channel::as_str),
            way.direction.map(domain::Direction::as_str),
            way.resolution,
            way.without_entry,
            most.max(0),
        ],
        |row| Ok(row.get::<_, Uuid>(0)?.as_u128()),
    )?;
    for id in found {
        ids.push(id?);
    }
    Ok(())
}
