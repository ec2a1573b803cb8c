use std::collections::BTreeMap;

use domain::{
    Conversation, ConversationPosition, MessageId, PAGE_SIZE_MAX, Page, PageRequest, Start, Timestamp,
};
use futures_util::FutureExt;
use store::{ConversationFilter, MessageDetail, MessageFilter, Reads};
use store_model::{Memory, OutboxRow};

/// The contents of the database at the end of a run, read as clients read it, and the outbox.
pub(super) struct Snapshot {
    pub(super) messages: BTreeMap<MessageId, MessageDetail>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) outbox: BTreeMap<MessageId, OutboxRow>,
    pub(super) now: Timestamp,
}

impl Snapshot {
    pub(super) fn take(memory: &Memory, now: Timestamp) -> Self {
        let filter = MessageFilter::default();
        let listed = all_pages(|page| memory.messages(&filter, page).now_or_never()?.ok());
        let messages = listed
            .into_iter()
            .filter_map(|message| Some((message.id, memory.message(message.id).now_or_never()?.ok()??)))
            .collect();
        let filter = ConversationFilter::default();
        let conversations = all_pages(|page: &PageRequest<ConversationPosition>| {
            memory.conversations(&filter, page).now_or_never()?.ok()
        });
        let conversations = conversations
            .into_iter()
            .map(|listed| listed.conversation)
            .collect();
        Self {
            messages,
            conversations,
            outbox: memory.outbox().into_iter().collect(),
            now,
        }
    }
}

pub(super) fn all_pages<T, P: Clone>(read: impl Fn(&PageRequest<P>) -> Option<Page<T, P>>) -> Vec<T> {
    let mut items = Vec::new();
    let mut start = Start::Page(1);
    while let Some(page) = read(&PageRequest::new(PAGE_SIZE_MAX, start)) {
        items.extend(page.items);
        match page.next {
            Some(position) => start = Start::After(position),
            None => break,
        }
    }
    items
}
