use std::convert::Infallible;

use async_trait::async_trait;
use domain::{
    Conversation, ConversationId, ConversationPosition, Message, MessageId, Page, PageRequest,
    ThreadPosition, Timestamp, Total,
};

use store::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError, Waiting,
};

use crate::{Memory, Tables};

#[async_trait]
impl Reads for Memory {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        let (tables, now) = self.begin();
        Ok(tables.message(id, now))
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        Ok(self.begin().0.list_messages(filter, page))
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        Ok(self.begin().0.conversations.get(&id).cloned().map(listed))
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        let Page { items, total, next } = self.begin().0.list_conversations(filter, page);
        let items = items.into_iter().map(listed).collect();
        Ok(Page { items, total, next })
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        Ok(self.begin().0.thread(id, page))
    }
}

impl Tables {
    pub(super) fn message(&self, id: MessageId, now: Timestamp) -> Option<MessageDetail> {
        let message = self.messages.get(&id)?.clone();
        let attempts = self
            .attempts
            .get(&id)
            .into_iter()
            .flatten()
            .map(|(_, attempt)| attempt.clone())
            .collect();
        let waiting = self
            .outbox
            .get(&id)
            .filter(|entry| entry.dead_at.is_none())
            .map(|entry| Waiting {
                due_at: entry.due_at,
                due: entry.due_at <= now,
                leased: entry.leased_until.is_some(),
            });
        Some(MessageDetail {
            message,
            attempts,
            receipts: Vec::new(),
            waiting,
        })
    }

    pub(super) fn list_messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Page<Message, MessageId> {
        let matching = || {
            self.messages.values().rev().filter(|message| {
                filter.status.is_none_or(|status| status == message.status)
                    && filter
                        .channel
                        .is_none_or(|channel| channel == message.content.channel)
                    && filter
                        .provider
                        .as_ref()
                        .is_none_or(|provider| Some(provider) == message.provider.as_ref())
            })
        };
        let after = matching().filter(|message| page.after().is_none_or(|id| message.id < *id));
        let total = Total::capped(matching().count() as u64);
        messages_of(page, after, total, |message| message.id)
    }

    pub(super) fn list_conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Page<Conversation, ConversationPosition> {
        let mut matching: Vec<&Conversation> = self
            .conversations
            .values()
            .filter(|conversation| {
                let key = &conversation.key;
                filter.channel.is_none_or(|channel| channel == key.channel())
                    && filter.participant.as_ref().is_none_or(|participant| {
                        [key.participant_a(), key.participant_b()].contains(&participant)
                    })
            })
            .collect();
        matching
            .sort_unstable_by_key(|conversation| std::cmp::Reverse(ConversationPosition::of(conversation)));
        let total = Total::capped(matching.len() as u64);
        let after = matching.into_iter().filter(|conversation| {
            page.after()
                .is_none_or(|position| ConversationPosition::of(conversation) < *position)
        });
        Page::of(page, part(after, page), total, ConversationPosition::of)
    }

    pub(super) fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Option<Page<Message, ThreadPosition>> {
        let total = Total::exact(self.conversations.get(&id)?.message_count);
        let mut messages: Vec<&Message> = self
            .messages
            .values()
            .filter(|message| message.thread.is_some_and(|(thread, _)| thread == id))
            .collect();
        messages.sort_unstable_by_key(|message| ThreadPosition::of(message));
        let after = messages.into_iter().filter(|message| {
            page.after()
                .is_none_or(|position| ThreadPosition::of(message) > *position)
        });
        Some(messages_of(page, after, total, ThreadPosition::of))
    }
}

fn listed(conversation: Conversation) -> ListedConversation {
    ListedConversation {
        conversation,
        last_message: None,
    }
}

fn messages_of<'a, P>(
    page: &PageRequest<P>,
    items: impl Iterator<Item = &'a Message>,
    total: Total,
    position: impl Fn(&Message) -> P,
) -> Page<Message, P> {
    let found = part(items, page).into_iter().map(Ok::<_, Infallible>);
    let Ok(page) = Page::of_messages(page, found, total, position);
    page
}

/// The items of a page, and one more if more follow.
fn part<'a, T: Clone + 'a, P>(items: impl Iterator<Item = &'a T>, page: &PageRequest<P>) -> Vec<T> {
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    items
        .skip(offset)
        .take(page.size() as usize + 1)
        .cloned()
        .collect()
}
