use domain::{
    Channel, Message, MessageId, Page, PageRequest, ProviderName, Status, TOTAL_COUNTED_MAX, Total,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Postgres, rows};
use crate::{MessageDetail, MessageFilter, StoreError, Waiting};

pub(super) async fn detail(store: &Postgres, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
    // The outbox first, the message last: read in this order, a message that becomes final between two statements
    // shows its final state with an attempt too few at worst, never a final state that still waits.
    let id = id.as_uuid();
    let waiting = store
        .read(include_str!("../../sql/outbox/waiting.postgres.sql"), &[&id])
        .await?;
    let message = store
        .read(include_str!("../../sql/messages/get.postgres.sql"), &[&id])
        .await?;
    let attempts = store
        .read(include_str!("../../sql/attempts/list.postgres.sql"), &[&id])
        .await?;
    let Some(message) = message.first() else {
        return Ok(None);
    };
    let message = rows::message(message)?;
    let waiting = match waiting.first().filter(|_| message.status == Status::Pending) {
        Some(row) => Some(Waiting {
            due_at: rows::get::<jiff::Timestamp>(row, "due_at")?.into(),
            due: rows::get(row, "due")?,
            leased: rows::get(row, "leased")?,
        }),
        None => None,
    };
    let attempts = attempts.iter().map(rows::attempt).collect::<Result<_, _>>()?;
    Ok(Some(MessageDetail {
        message,
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
    let limit = i64::from(page.size()) + 1;
    let offset = page.offset() as i64;
    let count_max = TOTAL_COUNTED_MAX as i64 + 1;
    // Whatever waits or is dead is found fastest in the outbox; its statements ask whether it is dead.
    let dead = filter.status == Some(Status::Failed);
    let (status, list, count): (&(dyn ToSql + Sync), _, _) = match filter.status {
        Some(Status::Pending | Status::Failed) => (
            &dead,
            include_str!("../../sql/outbox/list.postgres.sql"),
            include_str!("../../sql/outbox/count.postgres.sql"),
        ),
        Some(Status::Dispatched | Status::Received) | None => (
            &status,
            include_str!("../../sql/messages/list.postgres.sql"),
            include_str!("../../sql/messages/count.postgres.sql"),
        ),
    };
    let items = store
        .read(list, &[status, &channel, &provider, &after, &limit, &offset])
        .await?;
    let counted = store
        .read(count, &[status, &channel, &provider, &count_max])
        .await?;
    let items = items.iter().map(rows::message).collect::<Result<_, _>>()?;
    let total = Total::capped(super::conversations::counted(&counted)?);
    Ok(Page::of(page, items, total, |message: &Message| message.id))
}
