use std::{ops::Bound, time::Duration};

use async_trait::async_trait;
use domain::{Event, EventId, EventSubject, EventType, MessageId, Timestamp};

use store::{EventLog, Events, EventsRead, StoreError};

use crate::{Log, Memory, Tables};

#[async_trait]
impl Events for Memory {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        Ok(self.begin().0.log.read(after, limit))
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        Ok(self.begin().0.log.ends)
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.log.purge(kept, limit, now))
    }
}

impl Tables {
    /// Writes an event about a message that joined a conversation.
    pub(super) fn message_event(&mut self, kind: EventType, id: MessageId, now: Timestamp) {
        let Some(message) = self.messages.get(&id).map(|row| &row.message) else {
            return;
        };
        let Some((conversation_id, _)) = message.thread else {
            return;
        };
        let failure = message.failure.as_ref();
        let delivery = message.delivery.as_ref();
        let error_code = match kind {
            EventType::MessageFailed => failure.and_then(|failure| failure.error_code.clone()),
            EventType::MessageUndelivered => delivery.and_then(|delivery| delivery.error_code.clone()),
            _ => None,
        };
        let reason = failure.map(|failure| failure.reason);
        let subject = EventSubject::Message {
            message_id: id,
            conversation_id,
            reason: reason.filter(|_| kind == EventType::MessageFailed),
            error_code,
        };
        self.log.write(kind, subject, now);
    }
}

impl Log {
    pub(super) fn write(&mut self, kind: EventType, subject: EventSubject, now: Timestamp) {
        let id = EventId::new(self.ends.end.get() + 1).expect("a test does not write so many events");
        let event = Event {
            id,
            kind,
            at: now,
            subject,
        };
        self.events.insert(id, event);
        self.ends.end = id;
    }

    fn read(&self, after: EventId, limit: u32) -> EventsRead {
        let start = self.ends.start;
        if after < start {
            return EventsRead::Expired { start };
        }
        let events = self.events.range((Bound::Excluded(after), Bound::Unbounded));
        EventsRead::Events(
            events
                .take(limit as usize)
                .map(|(_, event)| event.clone())
                .collect(),
        )
    }

    fn purge(&mut self, kept: Duration, limit: u32, now: Timestamp) -> u64 {
        let expired = |event: &&Event| event.at.saturating_add(kept) <= now;
        let oldest = self.events.values().take_while(expired);
        let purged: Vec<EventId> = oldest.map(|event| event.id).take(limit as usize).collect();
        for id in &purged {
            self.events.remove(id);
            self.ends.start = *id;
        }
        purged.len() as u64
    }
}
