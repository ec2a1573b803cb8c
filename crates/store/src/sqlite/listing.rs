//! Chooses the indexes that list the messages of a filter, newest processed first. Each part of the filter that an index
//! knows becomes a list of ids in descending order; the lists are joined without reading the messages.

use domain::{
    Channel, ConversationId, Direction, Message, MessageId, Page, PageRequest, Participant, ProviderName,
    Status, TOTAL_COUNTED_MAX, Timestamp, Total,
};
use rusqlite::{Connection, OptionalExtension, params, types::Value};
use uuid::Uuid;

use super::{
    ids::{Ids, Index},
    rows,
};
use crate::MessageFilter;

/// The most ids that are collected and sorted, because no index has them in order.
const COLLECTED_MAX: u64 = 10_000;

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
    let mut counted = 0;
    for id in from(Some(u128::MAX))?.take(TOTAL_COUNTED_MAX as usize + 1) {
        id?;
        counted += 1;
    }
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
    let MessageFilter {
        status,
        channel,
        provider,
        direction,
        from,
        to,
        conversation_id,
        since: _,
    } = filter;
    let mut all = Vec::new();
    if let Some(id) = conversation_id {
        all.push(of_conversation(connection, *id)?);
    }
    if let Some(from) = from {
        all.push(of_sender(from));
    }
    if let Some(to) = to {
        all.push(of_recipient(to));
    }
    if status.is_some() || channel.is_some() || provider.is_some() || direction.is_some() {
        let kinds = Kinds {
            status: *status,
            channel: *channel,
            provider: provider.as_ref(),
            direction: *direction,
        };
        all.push(kinds.ids(connection, now)?);
    }
    Ok(match all.len() {
        0 => index(include_str!("../../sql/messages/ids.sqlite.sql"), []),
        _ => Ids::All(all),
    })
}

fn index<const N: usize>(sql: &'static str, parameters: [Value; N]) -> Ids {
    Ids::Index(Index::new(sql, parameters.into()))
}

fn text(word: &str) -> Value {
    Value::from(word.to_owned())
}

fn of_sender(from: &Participant) -> Ids {
    index(
        include_str!("../../sql/messages/ids_from.sqlite.sql"),
        [text(from.as_str())],
    )
}

fn of_recipient(to: &Participant) -> Ids {
    index(
        include_str!("../../sql/messages/ids_to.sqlite.sql"),
        [text(to.as_str())],
    )
}

/// The messages of a conversation: collected if they are few, or else along the indexes of both participants. Participants
/// of SMS are no email addresses, so the channel need not be looked at; imported messages that wait for their conversation
/// are left out.
fn of_conversation(connection: &Connection, id: ConversationId) -> rusqlite::Result<Ids> {
    let conversation = connection
        .prepare_cached(include_str!("../../sql/conversations/get.sql"))?
        .query_row([id.get()], rows::conversation)
        .optional()?;
    let Some(conversation) = conversation else {
        return Ok(Ids::Any(Vec::new()));
    };
    let (one, other) = (conversation.key.participant_a(), conversation.key.participant_b());
    if conversation.message_count > COLLECTED_MAX {
        let between = |from: &Participant, to| {
            let threaded = include_str!("../../sql/messages/ids_from_threaded.sqlite.sql");
            Ids::All(vec![index(threaded, [text(from.as_str())]), of_recipient(to)])
        };
        return Ok(Ids::Any(vec![between(one, other), between(other, one)]));
    }
    let ids = connection
        .prepare_cached(include_str!("../../sql/messages/ids_of_conversation.sqlite.sql"))?
        .query_map([id.get()], |row| Ok(row.get::<_, Uuid>(0)?.as_u128()))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Ids::collected(ids))
}

/// The part of a filter that the indexes by kind know.
struct Kinds<'a> {
    status: Option<Status>,
    channel: Option<Channel>,
    provider: Option<&'a ProviderName>,
    direction: Option<Direction>,
}

impl Kinds<'_> {
    fn ids(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Ids> {
        let for_later = |due: bool| {
            move |[channel, provider]: [Value; 2]| {
                let sql = include_str!("../../sql/outbox/ids_for_later.sqlite.sql");
                index(
                    sql,
                    [channel, provider, Value::from(now.as_micros()), Value::from(due)],
                )
            }
        };
        let parts = match self.status {
            // Inbound messages have no entry.
            Some(Status::Scheduled | Status::Pending | Status::Failed)
                if self.direction == Some(Direction::Inbound) =>
            {
                Vec::new()
            }
            Some(Status::Scheduled) => self.of_outbox(connection, for_later(false))?,
            Some(Status::Pending) => {
                let pending = include_str!("../../sql/outbox/ids_pending.sqlite.sql");
                let mut parts = self.of_outbox(connection, |range| index(pending, range))?;
                match self.few_for_later_due(connection, now)? {
                    Some(few) => parts.push(few),
                    None => parts.extend(self.of_outbox(connection, for_later(true))?),
                }
                parts
            }
            Some(Status::Failed) => {
                let dead = include_str!("../../sql/outbox/ids_dead.sqlite.sql");
                self.of_outbox(connection, |range| index(dead, range))?
            }
            _ => self.of_messages(connection)?,
        };
        Ok(Ids::Any(parts))
    }

    /// A part for each channel and provider that have entries.
    fn of_outbox(
        &self,
        connection: &Connection,
        part: impl Fn([Value; 2]) -> Ids,
    ) -> rusqlite::Result<Vec<Ids>> {
        let providers = self.providers(connection, include_str!("../../sql/outbox/providers.sqlite.sql"))?;
        let ranges = self.channels().flat_map(|channel| {
            providers
                .iter()
                .map(move |provider| [text(channel.as_str()), text(provider)])
        });
        Ok(ranges.map(part).collect())
    }

    /// The due ones among the entries for later, unless they are many.
    fn few_for_later_due(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<Ids>> {
        let ids: Vec<u128> = connection
            .prepare_cached(include_str!("../../sql/outbox/ids_for_later_due.sqlite.sql"))?
            .query_map(
                params![
                    now.as_micros(),
                    self.channel.map(Channel::as_str),
                    self.provider.map(ProviderName::as_str),
                    COLLECTED_MAX.cast_signed() + 1
                ],
                |row| Ok(row.get::<_, Uuid>(0)?.as_u128()),
            )?
            .collect::<rusqlite::Result<_>>()?;
        let few = ids.len() as u64 <= COLLECTED_MAX;
        Ok(few.then(|| Ids::collected(ids)))
    }

    /// A part for each provider, channel, direction and resolution.
    fn of_messages(&self, connection: &Connection) -> rusqlite::Result<Vec<Ids>> {
        const KINDS: [(Direction, &str, Status); 5] = [
            (Direction::Inbound, "none", Status::Received),
            (Direction::Outbound, "none", Status::Dispatched),
            (Direction::Outbound, rows::CANCELED, Status::Canceled),
            (Direction::Outbound, "delivered", Status::Delivered),
            (Direction::Outbound, "undelivered", Status::Undelivered),
        ];
        let sql = include_str!("../../sql/messages/ids_of_kind.sqlite.sql");
        let providers = self.providers(
            connection,
            include_str!("../../sql/messages/providers.sqlite.sql"),
        )?;
        let without_entry = self.status == Some(Status::Dispatched);
        let mut parts = Vec::new();
        for (direction, resolution, status) in KINDS {
            let direction_differs = self.direction.is_some_and(|asked| asked != direction);
            if direction_differs || self.status.is_some_and(|asked| asked != status) {
                continue;
            }
            for channel in self.channels() {
                for provider in &providers {
                    let range = [
                        text(provider),
                        text(channel.as_str()),
                        text(direction.as_str()),
                        text(resolution),
                        Value::from(without_entry),
                    ];
                    parts.push(index(sql, range));
                }
            }
        }
        Ok(parts)
    }

    fn channels(&self) -> impl Iterator<Item = Channel> {
        let asked = self.channel;
        let all = Channel::ALL.iter().copied();
        all.filter(move |channel| asked.is_none_or(|asked| asked == *channel))
    }

    fn providers(&self, connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
        match self.provider {
            Some(provider) => Ok(vec![provider.to_string()]),
            None => connection
                .prepare_cached(sql)?
                .query_map([], |row| row.get(0))?
                .collect(),
        }
    }
}
