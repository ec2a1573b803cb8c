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

/// The most messages of conversations that are read and sorted. Larger conversations are listed in the order of the ids.
const THREADS_SORTED_MAX: i64 = 3_000;
/// The most outbox entries that are read for a filter about participants, and the most delayed ones that are sorted.
const ENTRIES_FEW: i64 = 3_000;
/// Counting the conversations of a participant stops here.
const CONVERSATIONS_COUNTED_MAX: i64 = 100;

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
    /// The messages from a participant, to a participant, or both.
    Participant {
        sender: Option<String>,
        recipient: Option<String>,
        /// If it is known.
        total: Option<i64>,
    },
    /// The messages of these conversations, and those between the participants that have none.
    Threads(Vec<i64>),
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
        let sql = match along {
            Along::Ids => listing!("messages/list"),
            Along::Kinds => {
                own.extend(of_kind);
                listing!("messages/list_by_kind")
            }
            Along::Entries => {
                let others: [&(dyn ToSql + Sync); 4] = [&channel, &provider, &status, &ENTRIES_FEW];
                own.extend(others);
                listing!("outbox/list")
            }
            Along::FewEntries(states) => {
                let others: [&(dyn ToSql + Sync); 4] = [&from, &to, &conversation, states];
                own.extend(of_kind.into_iter().chain(others));
                listing!("outbox/list_few")
            }
            Along::Participant {
                sender,
                recipient,
                total,
            } => {
                let others: [&(dyn ToSql + Sync); 6] = [sender, recipient, &from, &to, &conversation, total];
                own.extend(of_kind.into_iter().chain(others));
                listing!("messages/list_of_participant")
            }
            Along::Threads(threads) => {
                let others: [&(dyn ToSql + Sync); 4] = [&from, &to, &conversation, threads];
                own.extend(of_kind.into_iter().chain(others));
                listing!("messages/list_of_threads")
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
    let along = if filter.conversation_id.is_some() || (from.is_some() && to.is_some()) {
        match along_conversations(store, filter).await? {
            many @ Along::Participant { .. } => many,
            few => return Ok(few),
        }
    } else if from.is_some() || to.is_some() {
        let of = |participant: &Option<Participant>| participant.as_ref().map(|it| it.as_str().to_owned());
        Along::Participant {
            sender: of(from),
            recipient: of(to),
            total: None,
        }
    } else {
        let unfiltered = MessageFilter {
            since: filter.since,
            ..MessageFilter::default()
        };
        return Ok(match states {
            [] if *filter == unfiltered => Along::Ids,
            [] => Along::Kinds,
            _ => Along::Entries,
        });
    };
    if !states.is_empty() && entries_are_few(store, states).await? {
        return Ok(Along::FewEntries(states));
    }
    Ok(along)
}

/// For a conversation, or a sender and a recipient: their conversations if they are small, or else the participant that has
/// fewer other conversations.
async fn along_conversations(store: &Postgres, filter: &MessageFilter) -> Result<Along, StoreError> {
    let id = filter.conversation_id.map(|id| id.get());
    let key = match (id, &filter.from, &filter.to) {
        // The channel does not matter for the order of the participants.
        (None, Some(from), Some(to)) => Some(ConversationKey::new(
            ConversationChannel::Sms,
            from.clone(),
            to.clone(),
        )),
        _ => None,
    };
    let [one, other] = [ConversationKey::participant_a, ConversationKey::participant_b]
        .map(|participant| key.as_ref().map(|key| participant(key).as_str()));
    let sql = include_str!("../../sql/conversations/probe.postgres.sql");
    let found = store
        .read(sql, &[&id, &one, &other, &CONVERSATIONS_COUNTED_MAX])
        .await?;
    let (mut threads, mut messages) = (Vec::new(), 0);
    for row in &found {
        threads.push(rows::get(row, "id")?);
        messages += rows::get::<i64>(row, "message_count")?;
    }
    let Some(row) = found.first().filter(|_| messages > THREADS_SORTED_MAX) else {
        return Ok(Along::Threads(threads));
    };
    let [one, other]: [&str; 2] = [rows::get(row, "participant_a")?, rows::get(row, "participant_b")?];
    let [of_one, of_other]: [i64; 2] = [
        rows::get(row, "conversations_a")?,
        rows::get(row, "conversations_b")?,
    ];
    let rarer = if of_one <= of_other { one } else { other };
    let may_be = |side: &Option<Participant>| side.as_ref().is_none_or(|wanted| wanted.as_str() == rarer);
    let sender = may_be(&filter.from).then(|| rarer.to_owned());
    // Messages to oneself are found once.
    let twice = one == other && sender.is_some();
    let recipient = (may_be(&filter.to) && !twice).then(|| rarer.to_owned());
    let whole = MessageFilter {
        conversation_id: filter.conversation_id,
        ..MessageFilter::default()
    };
    Ok(Along::Participant {
        sender,
        recipient,
        total: (*filter == whole).then_some(messages),
    })
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
