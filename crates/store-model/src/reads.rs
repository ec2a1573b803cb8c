use std::convert::Infallible;

use async_trait::async_trait;
use domain::{
    Conversation, ConversationId, ConversationPosition, Direction, Message, MessageId, OutboxState, Page,
    PageRequest, Status, ThreadPosition, Timestamp, Total,
};

use store::{
    ConversationFilter, ListedConversation, MessageDetail, MessageFilter, Reads, StoreError, Waiting,
};

use crate::{Memory, Row, Tables};

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
        let (tables, now) = self.begin();
        Ok(tables.list_messages(filter, page, now))
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        let (tables, now) = self.begin();
        let conversation = tables.conversations.get(&id).cloned();
        Ok(conversation.map(|conversation| tables.listed(conversation, now)))
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        let (tables, now) = self.begin();
        let Page { items, total, next } = tables.list_conversations(filter, page);
        let items = items
            .into_iter()
            .map(|conversation| tables.listed(conversation, now))
            .collect();
        Ok(Page { items, total, next })
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        let (tables, now) = self.begin();
        Ok(tables.thread(id, page, now))
    }
}

impl Tables {
    pub(super) fn message(&self, id: MessageId, now: Timestamp) -> Option<MessageDetail> {
        let message = self.seen(self.messages.get(&id)?, now);
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
            receipts: self.receipts_of(id),
            waiting,
        })
    }

    pub(super) fn list_messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
        now: Timestamp,
    ) -> Page<Message, MessageId> {
        let matching = || {
            let rows = self.messages.values().rev();
            rows.filter(|row| self.matches(filter, row, now))
                .map(|row| &row.message)
        };
        let after = matching().filter(|message| page.after().is_none_or(|id| message.id < *id));
        let total = Total::capped(matching().count() as u64);
        self.messages_of(page, after, total, |message| message.id, now)
    }

    fn matches(&self, filter: &MessageFilter, row: &Row, now: Timestamp) -> bool {
        let MessageFilter {
            status,
            channel,
            provider,
            direction,
            from,
            to,
            conversation_id,
            since,
        } = filter;
        let Row {
            message,
            from: sender,
            to: recipient,
            ..
        } = row;
        let conversation = message.thread.map(|(conversation, _)| conversation);
        status.is_none_or(|status| status == self.status(row, now))
            && channel.is_none_or(|channel| channel == message.content.channel)
            && provider
                .as_ref()
                .is_none_or(|provider| Some(provider) == message.provider.as_ref())
            && direction.is_none_or(|direction| direction == message.direction)
            && from.as_ref().is_none_or(|from| from == sender)
            && to.as_ref().is_none_or(|to| to == recipient)
            && conversation_id.is_none_or(|id| Some(id) == conversation)
            && since.is_none_or(|since| message.processed_at >= since)
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
        now: Timestamp,
    ) -> Option<Page<Message, ThreadPosition>> {
        let total = Total::exact(self.conversations.get(&id)?.message_count);
        let mut messages: Vec<&Message> = self.joined(id).collect();
        messages.sort_unstable_by_key(|message| ThreadPosition::of(message));
        let after = messages.into_iter().filter(|message| {
            page.after()
                .is_none_or(|position| ThreadPosition::of(message) > *position)
        });
        Some(self.messages_of(page, after, total, ThreadPosition::of, now))
    }

    /// The messages of a conversation.
    fn joined(&self, id: ConversationId) -> impl Iterator<Item = &Message> {
        let messages = self.messages.values().map(|row| &row.message);
        messages.filter(move |message| message.thread.is_some_and(|(thread, _)| thread == id))
    }

    fn listed(&self, conversation: Conversation, now: Timestamp) -> ListedConversation {
        let last = self
            .joined(conversation.id)
            .max_by_key(|message| ThreadPosition::of(message));
        let row = last.and_then(|message| self.messages.get(&message.id));
        let last_message = row.map(|row| self.seen(row, now));
        ListedConversation {
            conversation,
            last_message,
        }
    }

    /// A message as a reader sees it.
    fn seen(&self, row: &Row, now: Timestamp) -> Message {
        Message {
            status: self.status(row, now),
            ..row.message.clone()
        }
    }

    pub(super) fn status(&self, row: &Row, now: Timestamp) -> Status {
        let message = &row.message;
        if row.regressed {
            return Status::Pending;
        }
        let entry = self.outbox.get(&message.id).map(|entry| match entry.dead_at {
            Some(_) => OutboxState::Dead,
            None if entry.due_at > now && entry.progress.attempts == 0 => OutboxState::Scheduled,
            None => OutboxState::Pending,
        });
        match message.direction {
            Direction::Inbound => Status::Received,
            Direction::Outbound => {
                let receipts = message.delivery.as_ref().map(|delivery| delivery.status);
                Status::of_outbound(entry, row.canceled, receipts)
            }
        }
    }

    fn messages_of<'a, P>(
        &self,
        page: &PageRequest<P>,
        items: impl Iterator<Item = &'a Message>,
        total: Total,
        position: impl Fn(&Message) -> P,
        now: Timestamp,
    ) -> Page<Message, P> {
        let found = part(items, page)
            .into_iter()
            .filter_map(|message| self.messages.get(&message.id))
            .map(|row| Ok::<_, Infallible>(self.seen(row, now)));
        let Ok(page) = Page::of_messages(page, found, total, position);
        page
    }
}

/// The items of a page, and one more if more follow.
pub(super) fn part<'a, T: Clone + 'a, P>(
    items: impl Iterator<Item = &'a T>,
    page: &PageRequest<P>,
) -> Vec<T> {
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    items
        .skip(offset)
        .take(page.size() as usize + 1)
        .cloned()
        .collect()
}
