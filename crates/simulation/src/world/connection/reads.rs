//! Messages and conversations.

use async_trait::async_trait;
use domain::{ConversationId, ConversationPosition, Message, MessageId, Page, PageRequest, ThreadPosition};
use futures_util::FutureExt;
use mutants::Mutant;
use store::{ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError};

use super::Connection;
use crate::world::database::Errand;

#[async_trait]
impl Reads for Connection {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        let read = async || {
            self.database
                .transact(Errand::READ, move |database| {
                    at_once!(database.memory.message(id))
                })
                .await
        };
        let mut detail = read().await?;
        if mutants::planted(Mutant::TornRead)
            && let (Some(first), Some(second)) = (&mut detail, read().await?)
        {
            first.attempts = second.attempts;
        }
        Ok(detail)
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.messages(&filter, &page))
            })
            .await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.conversation(id))
            })
            .await
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        let (filter, page) = (filter.clone(), *page);
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.conversations(&filter, &page))
            })
            .await
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        let page = *page;
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.thread(id, &page))
            })
            .await
    }
}
