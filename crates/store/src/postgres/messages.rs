use domain::{
    Channel, Message, MessageId, PAGE_BYTES_MAX, Page, PageRequest, ProviderName, Status, TOTAL_COUNTED_MAX,
    Total,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Postgres, rows};
use crate::{MessageDetail, MessageFilter, StoreError, Waiting};

/// A statement that lists messages, from the part that is its own.
macro_rules! listing {
    ($name:literal) => {
        concat!(
            include_str!(concat!("../../sql/", $name, ".postgres.sql")),
            include_str!("../../sql/messages/page.postgres.sql")
        )
    };
}
pub(super) use listing;

pub(super) async fn detail(store: &Postgres, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
    let rows = store
        .read(
            include_str!("../../sql/messages/get.postgres.sql"),
            &[&id.as_uuid()],
        )
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let waiting = match rows::get::<Option<jiff::Timestamp>>(first, "due_at")? {
        Some(due_at) => Some(Waiting {
            due_at: due_at.into(),
            due: rows::get(first, "due")?,
            leased: rows::get(first, "leased")?,
        }),
        None => None,
    };
    let mut attempts = Vec::with_capacity(rows.len());
    for row in &rows {
        if rows::get::<Option<i32>>(row, "number")?.is_some() {
            attempts.push(rows::attempt(row)?);
        }
    }
    Ok(Some(MessageDetail {
        message: rows::message(first)?,
        attempts,
        waiting,
    }))
}

pub(super) async fn list(
    store: &Postgres,
    filter: &MessageFilter,
    page: &PageRequest<MessageId>,
) -> Result<Page<Message, MessageId>, StoreError> {
    let status = filter.status.map(Status::as_str);
    let channel = filter.channel.map(Channel::as_str);
    let provider = filter.provider.as_ref().map(ProviderName::as_str);
    let after = page.after().map_or(Uuid::max(), |id| id.as_uuid());
    let count_max = TOTAL_COUNTED_MAX as i64 + 1;
    let dead = filter.status == Some(Status::Failed);
    let filters: [&(dyn ToSql + Sync); 5] = [&count_max, &after, &status, &channel, &provider];
    let outbox_filters: [&(dyn ToSql + Sync); 5] = [&count_max, &after, &dead, &channel, &provider];
    let (sql, filters) = match filter.status {
        Some(Status::Pending | Status::Failed) => (listing!("outbox/list"), &outbox_filters[..]),
        None if channel.is_none() && provider.is_none() => (listing!("messages/list"), &filters[..2]),
        Some(Status::Dispatched | Status::Received) | None => {
            (listing!("messages/list_filtered"), &filters[..])
        }
    };
    let rows = rows_of_page(store, sql, page, filters).await?;
    let (items, more, total) = read_page(&rows)?;
    Ok(Page::new(items, more, Total::capped(total), |message| message.id))
}

/// Runs a [`listing!`] with its own parameters, those after the three of each page.
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

/// The messages of a page, whether more follow, and how many there are in all. One row without a message stands for a page
/// without messages.
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
