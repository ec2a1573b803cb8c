use async_trait::async_trait;
use domain::{
    Channel, Conversation, ConversationChannel, ConversationId, ConversationPosition, Message, MessageId,
    PAGE_BYTES_MAX, Page, PageRequest, ProviderName, Status, TOTAL_COUNTED_MAX, ThreadPosition, Timestamp,
    Total,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Postgres, rows};
use crate::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError, Waiting,
};

/// A statement that lists messages: its own part and the shared end.
macro_rules! listing {
    ($name:literal) => {
        concat!(
            include_str!(concat!("../../sql/", $name, ".postgres.sql")),
            include_str!("../../sql/messages/page.postgres.sql")
        )
    };
}

#[async_trait]
impl Reads for Postgres {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        let rows = self
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
            receipts: Vec::new(),
            waiting,
        }))
    }

    async fn messages(
        &self,
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
            Some(_) | None => (listing!("messages/list_filtered"), &filters[..]),
        };
        let rows = rows_of_page(self, sql, page, filters).await?;
        let (items, more, total) = read_page(&rows)?;
        Ok(Page::new(items, more, Total::capped(total), |message| message.id))
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        let rows = self
            .read(include_str!("../../sql/conversations/get.sql"), &[&id.get()])
            .await?;
        rows.first()
            .map(rows::conversation)
            .transpose()
            .map(|found| found.map(listed))
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
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
        let found = self.read(sql, parameters).await?;
        let total = found.first().map_or(Ok(0), |row| rows::get(row, "total"))?;
        let mut items = Vec::with_capacity(found.len());
        // An empty page is one row without a conversation.
        for row in &found {
            if rows::get::<Option<i64>>(row, "id")?.is_some() {
                items.push(listed(rows::conversation(row)?));
            }
        }
        let total = Total::capped(rows::count(total)?);
        Ok(Page::of(page, items, total, |listed| {
            ConversationPosition::of(&listed.conversation)
        }))
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        let (after_timestamp, after_sequence) = match page.after() {
            Some(position) => (position.timestamp.into(), position.sequence as i64),
            None => (jiff::Timestamp::from(Timestamp::MIN), 0),
        };
        let own: [&(dyn ToSql + Sync); 3] = [&id.get(), &after_timestamp, &after_sequence];
        let rows = rows_of_page(self, listing!("messages/list_of_conversation"), page, &own).await?;
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
}

fn listed(conversation: Conversation) -> ListedConversation {
    ListedConversation {
        conversation,
        last_message: None,
    }
}

/// Runs a [`listing!`]. The parameters of the page come before its `own` ones.
async fn rows_of_page<P>(
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
fn read_page(rows: &[Row]) -> Result<(Vec<Message>, bool, u64), StoreError> {
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
