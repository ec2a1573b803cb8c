//! Lists messages: chooses the indexes that a filter is listed along. The choice is made here and not by the planner, whose
//! statistics may be old; each statement has the order of one index.

use domain::{
    Channel, ConversationChannel, ConversationKey, Direction, Message, MessageId, PAGE_BYTES_MAX, Page,
    PageRequest, Participant, ProviderName, Status, TOTAL_COUNTED_MAX, Total,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Postgres, rows};
use crate::{MessageFilter, StoreError};

/// The most outbox entries that are read for a filter about participants. With more, the participant's own messages are.
const ENTRIES_FEW: i64 = 30_000;
/// The most delayed entries that are sorted.
const DELAYED_FEW: i64 = 3_000;

/// A statement that lists messages: its own part and the shared end.
macro_rules! listing {
    ($name:literal) => {
        concat!(
            include_str!(concat!("../../sql/", $name, ".postgres.sql")),
            include_str!("../../sql/messages/page.postgres.sql")
        )
    };
}
pub(super) use listing;

/// What a filter says about the kind of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    direction: Option<&'static str>,
    resolution: Option<&'static str>,
    /// The status, if it depends on the outbox.
    status: Option<&'static str>,
}

/// The indexes that a filter is listed along.
#[derive(Debug, PartialEq, Eq)]
enum Along {
    /// All messages.
    Ids,
    Kinds,
    /// The outbox.
    Entries,
    /// All outbox entries in these states, which are few.
    FewEntries(&'static [&'static str]),
    /// The messages of participants and conversations.
    Participants,
}

impl Kind {
    /// `None` if nothing can match.
    fn of(filter: &MessageFilter) -> Option<Self> {
        let (direction, resolution, status) = match filter.status {
            None => (filter.direction, None, None),
            Some(Status::Received) => (Some(Direction::Inbound), None, None),
            Some(status @ (Status::Delivered | Status::Undelivered | Status::Canceled)) => {
                (Some(Direction::Outbound), Some(status.as_str()), None)
            }
            Some(status @ (Status::Scheduled | Status::Pending | Status::Dispatched | Status::Failed)) => {
                (Some(Direction::Outbound), Some("none"), Some(status.as_str()))
            }
        };
        let possible = filter.direction.is_none() || filter.direction == direction;
        possible.then_some(Self {
            direction: direction.map(Direction::as_str),
            resolution,
            status,
        })
    }
}

impl Postgres {
    pub(super) async fn list_messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        let rows = match Kind::of(filter) {
            Some(kind) => {
                let along = choose(self, filter).await?;
                self.list_along(&along, filter, kind, page).await?
            }
            None => Vec::new(),
        };
        let (items, more, total) = read_page(&rows)?;
        Ok(Page::new(items, more, Total::capped(total), |message| message.id))
    }

    async fn list_along(
        &self,
        along: &Along,
        filter: &MessageFilter,
        kind: Kind,
        page: &PageRequest<MessageId>,
    ) -> Result<Vec<Row>, StoreError> {
        let count_max = TOTAL_COUNTED_MAX as i64 + 1;
        let after = page.after().map_or(Uuid::max(), |id| id.as_uuid());
        let since = filter
            .since
            .map_or(Uuid::nil(), |time| MessageId::lowest_since(time).as_uuid());
        let channel = filter.channel.map(Channel::as_str);
        let provider = filter.provider.as_ref().map(ProviderName::as_str);
        let from = filter.from.as_ref().map(Participant::as_str);
        let to = filter.to.as_ref().map(Participant::as_str);
        let conversation = filter.conversation_id.map(|id| id.get());
        let Kind {
            direction,
            resolution,
            status,
        } = kind;
        let of_kind: [&(dyn ToSql + Sync); 5] = [&channel, &provider, &direction, &resolution, &status];
        let mut own: Vec<&(dyn ToSql + Sync)> = vec![&count_max, &after, &since];
        // What a filter for one participant finds if it is our own.
        let (participant, as_own) = match (from, to, conversation) {
            (Some(from), None, None) => (Some(from), Some(Direction::Outbound.as_str())),
            (None, Some(to), None) => (Some(to), Some(Direction::Inbound.as_str())),
            _ => (None, None),
        };
        let key = match (&filter.from, &filter.to, conversation) {
            // The channel does not matter for the order of the participants.
            (Some(from), Some(to), None) => Some(ConversationKey::new(
                ConversationChannel::Sms,
                from.clone(),
                to.clone(),
            )),
            _ => None,
        };
        let pair = [ConversationKey::participant_a, ConversationKey::participant_b]
            .map(|participant| key.as_ref().map(|key| participant(key).as_str()));
        let sql = match along {
            Along::Ids => listing!("messages/list"),
            Along::Kinds => {
                own.extend(of_kind);
                listing!("messages/list_by_kind")
            }
            Along::Entries => {
                let others: [&(dyn ToSql + Sync); 4] = [&channel, &provider, &status, &DELAYED_FEW];
                own.extend(others);
                listing!("outbox/list")
            }
            Along::FewEntries(states) => {
                let others: [&(dyn ToSql + Sync); 4] = [&from, &to, &conversation, states];
                own.extend(of_kind.into_iter().chain(others));
                listing!("outbox/list_few")
            }
            Along::Participants => {
                let others: [&(dyn ToSql + Sync); 7] = [
                    &from,
                    &to,
                    &conversation,
                    &participant,
                    &as_own,
                    &pair[0],
                    &pair[1],
                ];
                own.extend(of_kind.into_iter().chain(others));
                listing!("messages/list_of_participants")
            }
        };
        rows_of_page(self, sql, page, &own).await
    }
}

async fn choose(store: &Postgres, filter: &MessageFilter) -> Result<Along, StoreError> {
    let MessageFilter { from, to, .. } = filter;
    let states: &'static [&'static str] = match filter.status {
        Some(Status::Scheduled) => &["delayed"],
        Some(Status::Pending) => &["delayed", "pending"],
        Some(Status::Failed) => &["dead"],
        _ => &[],
    };
    if from.is_none() && to.is_none() && filter.conversation_id.is_none() {
        let unfiltered = MessageFilter {
            since: filter.since,
            ..MessageFilter::default()
        };
        return Ok(match states {
            [] if *filter == unfiltered => Along::Ids,
            [] => Along::Kinds,
            _ => Along::Entries,
        });
    }
    if !states.is_empty() && entries_are_few(store, states).await? {
        return Ok(Along::FewEntries(states));
    }
    Ok(Along::Participants)
}

async fn entries_are_few(store: &Postgres, states: &[&str]) -> Result<bool, StoreError> {
    let sql = include_str!("../../sql/outbox/probe.postgres.sql");
    let counted = store.read(sql, &[&states, &(ENTRIES_FEW + 1)]).await?;
    let entries = counted.first().map_or(Ok(0), |row| rows::get(row, "entries"))?;
    Ok(entries <= ENTRIES_FEW)
}

/// Runs a [`listing!`]. The parameters of the page come before its `own` ones.
pub(super) async fn rows_of_page<P>(
    store: &Postgres,
    sql: &'static str,
    page: &PageRequest<P>,
    own: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let (size, bytes, offset) = (
        i64::from(page.size()),
        PAGE_BYTES_MAX as i64,
        page.offset() as i64,
    );
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&size, &bytes, &offset];
    parameters.extend(own);
    store.read(sql, &parameters).await
}

/// The messages of a page, whether more follow, and the total. An empty page is one row without a message.
pub(super) fn read_page(rows: &[Row]) -> Result<(Vec<Message>, bool, u64), StoreError> {
    let Some(first) = rows.first() else {
        return Ok((Vec::new(), false, 0));
    };
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        if rows::get::<Option<Uuid>>(row, "id")?.is_some() {
            items.push(rows::message(row)?);
        }
    }
    let listed: usize = rows::count(rows::get(first, "listed")?)?;
    let total = rows::count(rows::get(first, "total")?)?;
    let more = listed > items.len();
    Ok((items, more, total))
}
