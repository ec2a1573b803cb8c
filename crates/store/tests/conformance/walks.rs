//! Walks over everything a store can list, and what must hold of it.

use domain::{
    Conversation, ConversationId, ConversationPosition, Event, EventId, Message, MessageId, PageRequest,
    Start, ThreadPosition,
};
use trunkline_store::{ConversationFilter, EventsRead, MessageFilter, Store};

/// More than any case stores: a walk over pages that reaches it is in a loop.
pub(crate) const WALK_MAX: usize = 50_000;

pub(crate) async fn all_conversations(store: &dyn Store) -> Vec<Conversation> {
    let filter = ConversationFilter::default();
    let mut all = Vec::new();
    let mut start: Start<ConversationPosition> = Start::Page(1);
    loop {
        let page = store
            .conversations(&filter, &PageRequest::new(200, start))
            .await
            .unwrap();
        all.extend(page.items.into_iter().map(|listed| listed.conversation));
        assert!(all.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) => start = Start::After(position),
            None => return all,
        }
    }
}

/// Every event after a place, in the order of the log.
pub(crate) async fn all_events(store: &dyn Store, mut after: EventId) -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    loop {
        let EventsRead::Events(events) = store.events(after, 1_000).await.unwrap() else {
            panic!("events after {after} are gone");
        };
        let Some(last) = events.last() else { return all };
        after = last.id;
        all.extend(events);
        assert!(all.len() < WALK_MAX, "the walk does not end");
    }
}

pub(crate) async fn all_messages(store: &dyn Store) -> Vec<Message> {
    let filter = MessageFilter::default();
    let mut all = Vec::new();
    let mut start: Start<MessageId> = Start::Page(1);
    loop {
        let page = store
            .messages(&filter, &PageRequest::new(200, start))
            .await
            .unwrap();
        all.extend(page.items);
        assert!(all.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) => start = Start::After(position),
            None => return all,
        }
    }
}

pub(crate) async fn whole_thread(store: &dyn Store, id: ConversationId) -> Vec<Message> {
    let mut all = Vec::new();
    let mut start: Start<ThreadPosition> = Start::Page(1);
    loop {
        let page = store
            .thread(id, &PageRequest::new(200, start))
            .await
            .unwrap()
            .unwrap();
        all.extend(page.items);
        assert!(all.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) => start = Start::After(position),
            None => return all,
        }
    }
}

pub(crate) async fn check_conversations(store: &dyn Store) {
    let mut threaded = 0;
    for conversation in all_conversations(store).await {
        let thread = whole_thread(store, conversation.id).await;
        assert_eq!(
            conversation.message_count,
            thread.len() as u64,
            "{conversation:?}"
        );
        let last_activity = thread
            .iter()
            .map(|message| message.timestamp.min(message.processed_at))
            .max();
        assert_eq!(
            Some(conversation.last_activity_at),
            last_activity,
            "{conversation:?}"
        );
        let mut places: Vec<_> = thread.iter().map(|message| message.thread.unwrap()).collect();
        places.sort_unstable();
        let gapless: Vec<_> = (1..=conversation.message_count)
            .map(|place| (conversation.id, place))
            .collect();
        assert_eq!(places, gapless, "{conversation:?}");
        threaded += thread.len();
    }
    let messages = all_messages(store).await;
    let everywhere = messages.iter().filter(|message| message.thread.is_some());
    assert_eq!(threaded, everywhere.count());
}
