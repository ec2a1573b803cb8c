use domain::{
    Conversation, ConversationChannel, ConversationId, ConversationPosition, Message, Page, PageRequest,
    TOTAL_COUNTED_MAX, ThreadPosition, Timestamp, Total,
};
use tokio_postgres::types::ToSql;

use super::{
    Postgres,
    messages::{listing, read_page, rows_of_page},
    rows,
};
use crate::{ConversationFilter, StoreError};

pub(super) async fn get(store: &Postgres, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
    let rows = store
        .read(
            include_str!("../../sql/conversations/get.postgres.sql"),
            &[&id.get()],
        )
        .await?;
    rows.first().map(rows::conversation).transpose()
}

pub(super) async fn list(
    store: &Postgres,
    filter: &ConversationFilter,
    page: &PageRequest<ConversationPosition>,
) -> Result<Page<Conversation, ConversationPosition>, StoreError> {
    let channel = filter.channel.map(ConversationChannel::as_str);
    let (after_activity, after_id) = match page.after() {
        Some(position) => (position.last_activity_at.into(), position.id.get()),
        None => (jiff::Timestamp::MAX, i64::MAX),
    };
    let (limit, offset) = (i64::from(page.size()) + 1, page.offset() as i64);
    let count_max = TOTAL_COUNTED_MAX as i64 + 1;
    let participant = filter.participant.as_ref().map(domain::Participant::as_str);
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &channel,
        &after_activity,
        &after_id,
        &limit,
        &offset,
        &count_max,
        &participant,
    ];
    let (sql, parameters) = match participant {
        None => (
            include_str!("../../sql/conversations/list.postgres.sql"),
            &parameters[..6],
        ),
        Some(_) => (
            include_str!("../../sql/conversations/list_of_participant.postgres.sql"),
            &parameters[..],
        ),
    };
    let found = store.read(sql, parameters).await?;
    let total = found.first().map_or(Ok(0), |row| rows::get(row, "total"))?;
    let mut items = Vec::with_capacity(found.len());
    // One row without a conversation stands for a page without conversations.
    for row in &found {
        if rows::get::<Option<i64>>(row, "id")?.is_some() {
            items.push(rows::conversation(row)?);
        }
    }
    let total = Total::capped(rows::count(total)?);
    Ok(Page::of(page, items, total, ConversationPosition::of))
}

pub(super) async fn thread(
    store: &Postgres,
    id: ConversationId,
    page: &PageRequest<ThreadPosition>,
) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
    let (after_timestamp, after_sequence) = match page.after() {
        Some(position) => (position.timestamp.into(), position.sequence as i64),
        None => (jiff::Timestamp::from(Timestamp::MIN), 0),
    };
    let own: [&(dyn ToSql + Sync); 3] = [&id.get(), &after_timestamp, &after_sequence];
    let rows = rows_of_page(store, listing!("messages/list_of_conversation"), page, &own).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let (items, more, total) = read_page(&rows)?;
    Ok(Some(Page::new(
        items,
        more,
        Total::exact(total),
        ThreadPosition::of,
    )))
}
