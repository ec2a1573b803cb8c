//! Lists the messages of a filter, newest processed first. Indexes give lists of ids in that order, which are joined without
//! reading the messages. The messages of a participant or a conversation are collected along its conversations if they are few.
//! If they are many, they are found among all messages of their kind; that is fast unless the newest of them are far back.

use domain::{
    Channel, ConversationId, Direction, Message, MessageId, Page, PageRequest, Participant, ProviderName,
    Status, TOTAL_COUNTED_MAX, Timestamp, Total,
};
use rusqlite::{Connection, params, types::Value};
use uuid::Uuid;

use super::{
    conversations,
    ids::{Ids, Index},
    rows,
};
use crate::MessageFilter;

/// The most ids that are collected and sorted, because no index has them in order.
pub(super) const COLLECTED_MAX: u64 = 30_000;

/// A page of the messages that match a filter.
pub(super) fn page(
    connection: &Connection,
    filter: &MessageFilter,
    page: &PageRequest<MessageId>,
    now: Timestamp,
) -> rusqlite::Result<Page<Message, MessageId>> {
    let earliest = filter
        .since
        .map_or(0, |since| MessageId::lowest_since(since).as_uuid().as_u128());
    let from = |next: Option<u128>| -> rusqlite::Result<_> {
        Ok(Descending {
            ids: ids(connection, filter, now)?,
            connection,
            next,
            earliest,
        })
    };
    let counted = match conversations::count_many(connection, filter, Way::of(filter))? {
        Some(counted) => counted,
        None => {
            let mut counted = 0;
            for id in from(Some(u128::MAX))?.take(TOTAL_COUNTED_MAX as usize + 1) {
                id?;
                counted += 1;
            }
            counted
        }
    };
    let next = match page.after() {
        Some(after) => after.as_uuid().as_u128().checked_sub(1),
        None => Some(u128::MAX),
    };
    let mut get = connection.prepare_cached(include_str!("../../sql/messages/get.sqlite.sql"))?;
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let found = from(next)?
        .skip(offset)
        .map(|id| get.query_row([Uuid::from_u128(id?)], |row| rows::message(row, now)));
    Page::of_messages(page, found, Total::capped(counted), |message| message.id)
}

/// Walks over ids, from `next` down to `earliest`.
struct Descending<'c> {
    ids: Ids,
    connection: &'c Connection,
    next: Option<u128>,
    earliest: u128,
}

impl Iterator for Descending<'_> {
    type Item = rusqlite::Result<u128>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.ids.up_to(self.connection, self.next?);
        let found = found.transpose()?;
        self.next = match &found {
            Ok(id) if *id < self.earliest => return None,
            Ok(id) => id.checked_sub(1),
            Err(_) => None,
        };
        Some(found)
    }
}

/// The ids of the messages that match all of a filter but `since`.
fn ids(connection: &Connection, filter: &MessageFilter, now: Timestamp) -> rusqlite::Result<Ids> {
    if *filter
        == (MessageFilter {
            since: filter.since,
            ..MessageFilter::default()
        })
    {
        let all = include_str!("../../sql/messages/ids.sqlite.sql");
        return Ok(Ids::Index(Index::new(all, Vec::new())));
    }
    let way = Way::of(filter);
    let mut all = Vec::new();
    if conversations::is_about_conversations(filter) {
        match conversations::collect(connection, filter, way)? {
            Some(few) => all.push(Ids::collected(few)),
            None => all.push(along_kinds(connection, filter, way)?),
        }
    } else if !filter.status.is_some_and(has_entry) {
        all.push(along_kinds(connection, filter, way)?);
    }
    if let Some(status) = filter.status.filter(|status| has_entry(*status)) {
        let outbox = OutboxEntries {
            connection,
            filter,
            now,
        };
        all.push(outbox.ids(status)?);
    }
    Ok(Ids::All(all))
}

/// Whether messages of this status have an outbox entry.
fn has_entry(status: Status) -> bool {
    matches!(status, Status::Scheduled | Status::Pending | Status::Failed)
}

/// What a status and a direction say about the columns of a message; `None` is anything.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) direction: Option<Direction>,
    pub(super) resolution: Option<&'static str>,
    /// Only messages without an outbox entry.
    pub(super) without_entry: bool,
    /// No message is like this.
    pub(super) impossible: bool,
}

impl Way {
    fn of(filter: &MessageFilter) -> Self {
        use Direction::{Inbound, Outbound};
        let (direction, resolution) = match filter.status {
            None => (None, None),
            Some(Status::Received) => (Some(Inbound), Some("none")),
            Some(Status::Canceled) => (Some(Outbound), Some(rows::CANCELED)),
            Some(Status::Delivered) => (Some(Outbound), Some("delivered")),
            Some(Status::Undelivered) => (Some(Outbound), Some("undelivered")),
            Some(Status::Scheduled | Status::Pending | Status::Failed | Status::Dispatched) => {
                (Some(Outbound), Some("none"))
            }
        };
        Self {
            direction: direction.or(filter.direction),
            resolution,
            without_entry: filter.status == Some(Status::Dispatched),
            impossible: direction
                .zip(filter.direction)
                .is_some_and(|(one, other)| one != other),
        }
    }
}

/// A part for each kind of message: those of one kind have the same provider, channel, direction and resolution, and are a
/// range of one index, which also knows the conversation and the participants.
fn along_kinds(connection: &Connection, filter: &MessageFilter, way: Way) -> rusqlite::Result<Ids> {
    const WAYS: [(Direction, &str); 5] = [
        (Direction::Inbound, "none"),
        (Direction::Outbound, "none"),
        (Direction::Outbound, rows::CANCELED),
        (Direction::Outbound, "delivered"),
        (Direction::Outbound, "undelivered"),
    ];
    let sql = include_str!("../../sql/messages/ids_of_kind.sqlite.sql");
    let names = include_str!("../../sql/messages/providers.sqlite.sql");
    let providers = providers(connection, filter, names)?;
    let participant =
        |asked: &Option<Participant>| Value::from(asked.as_ref().map(|asked| asked.as_str().to_owned()));
    let mut parts = Vec::new();
    for (direction, resolution) in WAYS {
        let differs = way.direction.is_some_and(|asked| asked != direction)
            || way.resolution.is_some_and(|asked| asked != resolution);
        if differs || way.impossible {
            continue;
        }
        for channel in channels(filter) {
            for provider in &providers {
                let parameters = vec![
                    Value::from(way.without_entry),
                    text(provider),
                    text(channel.as_str()),
                    text(direction.as_str()),
                    text(resolution),
                    Value::from(filter.conversation_id.map(ConversationId::get)),
                    participant(&filter.from),
                    participant(&filter.to),
                ];
                parts.push(Ids::Index(Index::new(sql, parameters)));
            }
        }
    }
    Ok(Ids::Any(parts))
}

/// The messages that match a filter and have an outbox entry.
struct OutboxEntries<'a> {
    connection: &'a Connection,
    filter: &'a MessageFilter,
    now: Timestamp,
}

impl OutboxEntries<'_> {
    fn ids(&self, status: Status) -> rusqlite::Result<Ids> {
        let sql = include_str!("../../sql/outbox/providers.sqlite.sql");
        let providers = providers(self.connection, self.filter, sql)?;
        let along = |sql: &'static str, more: &[Value]| -> Vec<Ids> {
            let part = |channel: Channel, provider: &str| {
                let mut parameters = vec![text(channel.as_str()), text(provider)];
                parameters.extend_from_slice(more);
                Ids::Index(Index::new(sql, parameters))
            };
            let channels = channels(self.filter);
            channels
                .flat_map(|channel| providers.iter().map(move |provider| part(channel, provider)))
                .collect()
        };
        let delayed = |due: bool| {
            let delayed = include_str!("../../sql/outbox/ids_delayed.sqlite.sql");
            along(delayed, &[Value::from(self.now.as_micros()), Value::from(due)])
        };
        let parts = match status {
            Status::Scheduled => delayed(false),
            Status::Failed => along(include_str!("../../sql/outbox/ids_dead.sqlite.sql"), &[]),
            _ => {
                let mut parts = along(include_str!("../../sql/outbox/ids_pending.sqlite.sql"), &[]);
                match self.few_delayed_due()? {
                    Some(few) => parts.push(few),
                    None => parts.extend(delayed(true)),
                }
                parts
            }
        };
        Ok(Ids::Any(parts))
    }

    /// The due ones among the delayed entries, unless they are many.
    fn few_delayed_due(&self) -> rusqlite::Result<Option<Ids>> {
        let ids: Vec<u128> = self
            .connection
            .prepare_cached(include_str!("../../sql/outbox/ids_delayed_due.sqlite.sql"))?
            .query_map(
                params![
                    self.now.as_micros(),
                    self.filter.channel.map(Channel::as_str),
                    self.filter.provider.as_ref().map(ProviderName::as_str),
                    COLLECTED_MAX.cast_signed() + 1
                ],
                |row| Ok(row.get::<_, Uuid>(0)?.as_u128()),
            )?
            .collect::<rusqlite::Result<_>>()?;
        let few = ids.len() as u64 <= COLLECTED_MAX;
        Ok(few.then(|| Ids::collected(ids)))
    }
}

fn channels(filter: &MessageFilter) -> impl Iterator<Item = Channel> {
    let asked = filter.channel;
    let all = Channel::ALL.iter().copied();
    all.filter(move |channel| asked.is_none_or(|asked| asked == *channel))
}

/// The provider of a filter, or all that `sql` finds.
fn providers(connection: &Connection, filter: &MessageFilter, sql: &str) -> rusqlite::Result<Vec<String>> {
    match &filter.provider {
        Some(provider) => Ok(vec![provider.to_string()]),
        None => connection
            .prepare_cached(sql)?
            .query_map([], |row| row.get(0))?
            .collect(),
    }
}

fn text(word: &str) -> Value {
    Value::from(word.to_owned())
}
