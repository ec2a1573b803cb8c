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
    if *filter
        == (MessageFilter {
            since: filter.since,
            ..MessageFilter::default()
        })
    {
        let all = include_str!("../../sql/messages/ids.sqlite.sql");
        return Ok(Ids::Index(Index::new(all, Vec::new())));
    }
    let kinds = Kinds::of(connection, filter)?;
    let mut all = Vec::new();
    match (&filter.from, &filter.to, filter.conversation_id) {
        (None, None, None) if filter.status.is_some_and(has_entry) => {}
        (None, None, None) => all.push(kinds.ids()),
        (from, to, None) => {
            all.extend(from.iter().map(|from| kinds.ids_from(from)));
            all.extend(to.iter().map(|to| kinds.ids_to(to)));
        }
        (_, _, Some(id)) => all.push(of_conversation(connection, id, filter, &kinds)?),
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

/// The messages of a conversation: collected if they are few, or else along the indexes of both participants. Participants
/// of SMS are no email addresses, so the channel need not be looked at.
fn of_conversation(
    connection: &Connection,
    id: ConversationId,
    filter: &MessageFilter,
    kinds: &Kinds,
) -> rusqlite::Result<Ids> {
    let conversation = connection
        .prepare_cached(include_str!("../../sql/conversations/get.sql"))?
        .query_row([id.get()], rows::conversation)
        .optional()?;
    let Some(conversation) = conversation else {
        return Ok(Ids::Any(Vec::new()));
    };
    let alone = MessageFilter {
        conversation_id: Some(id),
        since: filter.since,
        ..MessageFilter::default()
    };
    if *filter == alone && conversation.message_count <= COLLECTED_MAX {
        let ids = connection
            .prepare_cached(include_str!("../../sql/messages/ids_of_conversation.sqlite.sql"))?
            .query_map([id.get()], |row| Ok(row.get::<_, Uuid>(0)?.as_u128()))?
            .collect::<rusqlite::Result<_>>()?;
        return Ok(Ids::collected(ids));
    }
    let key = &conversation.key;
    let both = [
        (key.participant_a(), key.participant_b()),
        (key.participant_b(), key.participant_a()),
    ];
    let asked =
        |asked: &Option<Participant>, is: &Participant| asked.as_ref().is_none_or(|asked| asked == is);
    let directions = both
        .into_iter()
        .filter(|(from, to)| asked(&filter.from, from) && asked(&filter.to, to));
    let threaded =
        directions.map(|(from, to)| Ids::All(vec![kinds.ids_from_threaded(from), kinds.ids_to(to)]));
    Ok(Ids::Any(threaded.collect()))
}

/// The kinds of messages that a filter matches. All messages of one kind have the same provider, channel, direction and
/// resolution, and are a range of each index of messages.
struct Kinds {
    kinds: Vec<[Value; 4]>,
    /// Only messages without an outbox entry.
    without_entry: bool,
}

impl Kinds {
    fn of(connection: &Connection, filter: &MessageFilter) -> rusqlite::Result<Self> {
        use Direction::{Inbound, Outbound};
        const CANCELED: &str = rows::CANCELED;
        let ways = match filter.status {
            None => &[
                (Inbound, "none"),
                (Outbound, "none"),
                (Outbound, CANCELED),
                (Outbound, "delivered"),
                (Outbound, "undelivered"),
            ][..],
            Some(Status::Received) => &[(Inbound, "none")],
            Some(Status::Scheduled | Status::Pending | Status::Failed | Status::Dispatched) => {
                &[(Outbound, "none")]
            }
            Some(Status::Canceled) => &[(Outbound, CANCELED)],
            Some(Status::Delivered) => &[(Outbound, "delivered")],
            Some(Status::Undelivered) => &[(Outbound, "undelivered")],
        };
        let sql = include_str!("../../sql/messages/providers.sqlite.sql");
        let providers = providers(connection, filter, sql)?;
        let mut kinds = Vec::new();
        for (direction, resolution) in ways {
            if filter.direction.is_some_and(|asked| asked != *direction) {
                continue;
            }
            for channel in channels(filter) {
                let kind = |provider: &String| {
                    [provider, channel.as_str(), direction.as_str(), resolution].map(text)
                };
                kinds.extend(providers.iter().map(kind));
            }
        }
        Ok(Self {
            kinds,
            without_entry: filter.status == Some(Status::Dispatched),
        })
    }

    fn ids(&self) -> Ids {
        self.along(include_str!("../../sql/messages/ids_of_kind.sqlite.sql"), None)
    }

    fn ids_from(&self, from: &Participant) -> Ids {
        self.along(include_str!("../../sql/messages/ids_from.sqlite.sql"), Some(from))
    }

    /// Without messages that wait for their conversation.
    fn ids_from_threaded(&self, from: &Participant) -> Ids {
        self.along(
            include_str!("../../sql/messages/ids_from_threaded.sqlite.sql"),
            Some(from),
        )
    }

    fn ids_to(&self, to: &Participant) -> Ids {
        self.along(include_str!("../../sql/messages/ids_to.sqlite.sql"), Some(to))
    }

    fn along(&self, sql: &'static str, participant: Option<&Participant>) -> Ids {
        let part = |kind: &[Value; 4]| {
            let mut parameters = vec![Value::from(self.without_entry)];
            parameters.extend(kind.iter().cloned());
            parameters.extend(participant.map(|participant| text(participant.as_str())));
            Ids::Index(Index::new(sql, parameters))
        };
        Ids::Any(self.kinds.iter().map(part).collect())
    }
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
