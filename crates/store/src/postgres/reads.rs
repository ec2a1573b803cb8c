use async_trait::async_trait;
use domain::{
    ConversationChannel, ConversationId, ConversationPosition, Message, MessageId, Page, PageRequest,
    Receipt, TOTAL_COUNTED_MAX, ThreadPosition, Timestamp, Total,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    Postgres,
    listing::{listing, read_page, rows_of_page},
    rows,
};
use crate::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, RECEIPTS_SHOWN_MAX, Reads,
    StoreError, Waiting,
};

/// A statement that lists conversations: its own part and the shared end.
macro_rules! conversations {
    ($name:literal) => {
        concat!(
            include_str!(concat!("../../sql/conversations/", $name, ".postgres.sql")),
            include_str!("../../sql/conversations/last_message.postgres.sql")
        )
    };
}

#[async_trait]
impl Reads for Postgres {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        Ok(self.message_details(&[id]).await?.pop())
    }

    async fn message_details(&self, ids: &[MessageId]) -> Result<Vec<MessageDetail>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let sql = include_str!("../../sql/messages/get.postgres.sql");
        let rows = self.read(sql, &[&ids, &(RECEIPTS_SHOWN_MAX as i64)]).await?;
        let mut details: Vec<MessageDetail> = Vec::with_capacity(ids.len());
        for row in &rows {
            let id: MessageId = rows::get::<Uuid>(row, "id")?.into();
            if details.last().is_none_or(|last| last.message.id != id) {
                details.push(detail(row)?);
            }
            let Some(detail) = details.last_mut() else {
                continue;
            };
            if rows::get::<Option<i32>>(row, "number")?.is_some() {
                detail.attempts.push(rows::attempt(row)?);
            }
            if rows::get::<Option<i64>>(row, "receipt_id")?.is_some() {
                detail.receipts.push(receipt(row)?);
            }
        }
        Ok(details)
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        self.list_messages(filter, page).await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        let rows = self.read(conversations!("get"), &[&id.get()]).await?;
        rows.first().map(listed).transpose()
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
            None => (conversations!("list"), &parameters[..6]),
            Some(_) => (conversations!("list_of_participant"), &parameters[..]),
        };
        let found = self.read(sql, parameters).await?;
        let total = found.first().map_or(Ok(0), |row| rows::get(row, "total"))?;
        let mut items = Vec::with_capacity(found.len());
        // An empty page is one row without a conversation.
        for row in &found {
            if rows::get::<Option<i64>>(row, "listed_id")?.is_some() {
                items.push(listed(row)?);
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

/// The first row of a message, without its attempts and receipts.
fn detail(row: &Row) -> Result<MessageDetail, StoreError> {
    let waiting = match rows::moment(row, "due_at")? {
        Some(due_at) => Some(Waiting {
            due_at,
            due: rows::get(row, "due")?,
            leased: rows::get(row, "leased")?,
        }),
        None => None,
    };
    Ok(MessageDetail {
        message: rows::message(row)?,
        attempts: Vec::new(),
        receipts: Vec::new(),
        waiting,
    })
}

fn receipt(row: &Row) -> Result<Receipt, StoreError> {
    Ok(Receipt {
        provider: rows::optional_word(row, "receipt_provider")?,
        provider_message_id: rows::optional_word(row, "receipt_provider_message_id")?,
        message_id: rows::get::<Option<Uuid>>(row, "named_message_id")?.map(Into::into),
        status: rows::word(row, "receipt_status")?,
        error_code: rows::error_code(row, "receipt_error_code")?,
        at: rows::get::<jiff::Timestamp>(row, "receipt_at")?.into(),
        received_at: rows::get::<jiff::Timestamp>(row, "received_at")?.into(),
    })
}

fn listed(row: &Row) -> Result<ListedConversation, StoreError> {
    let last_message = match rows::get::<Option<Uuid>>(row, "id")? {
        Some(_) => Some(rows::message(row)?),
        None => None,
    };
    Ok(ListedConversation {
        conversation: rows::conversation(row)?,
        last_message,
    })
}
