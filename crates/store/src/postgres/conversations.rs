use domain::{
    Conversation, ConversationChannel, ConversationId, ConversationPosition, Message, Page, PageRequest,
    TOTAL_COUNTED_MAX, ThreadPosition, Timestamp, Total,
};
use tokio_postgres::Row;

use super::{Postgres, rows};
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
    let (items, count) = match filter.participant.as_ref().map(domain::Participant::as_str) {
        None => (
            store
                .read(
                    include_str!("../../sql/conversations/list.postgres.sql"),
                    &[&channel, &after_activity, &after_id, &limit, &offset],
                )
                .await?,
            store
                .read(
                    include_str!("../../sql/conversations/count.postgres.sql"),
                    &[&channel, &count_max],
                )
                .await?,
        ),
        Some(participant) => (
            store
                .read(
                    include_str!("../../sql/conversations/list_of_participant.postgres.sql"),
                    &[
                        &channel,
                        &after_activity,
                        &after_id,
                        &limit,
                        &offset,
                        &participant,
                    ],
                )
                .await?,
            store
                .read(
                    include_str!("../../sql/conversations/count_of_participant.postgres.sql"),
                    &[&channel, &count_max, &participant],
                )
                .await?,
        ),
    };
    let items = items.iter().map(rows::conversation).collect::<Result<_, _>>()?;
    Ok(Page::of(
        page,
        items,
        Total::capped(counted(&count)?),
        ConversationPosition::of,
    ))
}

pub(super) async fn thread(
    store: &Postgres,
    id: ConversationId,
    page: &PageRequest<ThreadPosition>,
) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
    let Some(conversation) = get(store, id).await? else {
        return Ok(None);
    };
    let (after_timestamp, after_sequence) = match page.after() {
        Some(position) => (position.timestamp.into(), position.sequence as i64),
        None => (jiff::Timestamp::from(Timestamp::MIN), 0),
    };
    let items = store
        .read(
            include_str!("../../sql/messages/list_of_conversation.postgres.sql"),
            &[
                &id.get(),
                &after_timestamp,
                &after_sequence,
                &(i64::from(page.size()) + 1),
                &(page.offset() as i64),
            ],
        )
        .await?;
    let items = items.iter().map(rows::message).collect::<Result<_, _>>()?;
    let total = Total::exact(conversation.message_count);
    Ok(Some(Page::of(page, items, total, ThreadPosition::of)))
}

pub(super) fn counted(rows: &[Row]) -> Result<u64, StoreError> {
    let count: i64 = rows.first().map_or(Ok(0), |row| rows::get(row, "count"))?;
    rows::count(count)
}
