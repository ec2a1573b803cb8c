//! What the port does not show, for the checkers of the simulation.

use domain::{LeaseToken, MessageId, ProviderName, Status, Timestamp};

use store::Progress;

use crate::{Entry, Memory};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub provider: ProviderName,
    pub due_at: Timestamp,
    pub leased_until: Option<Timestamp>,
    /// The token of the latest lease.
    pub token: LeaseToken,
    pub deadline_at: Timestamp,
    pub dead_at: Option<Timestamp>,
    pub progress: Progress,
}

impl Memory {
    #[must_use]
    pub fn outbox_row(&self, id: MessageId) -> Option<OutboxRow> {
        self.begin().0.outbox.get(&id).map(OutboxRow::of)
    }

    #[must_use]
    pub fn outbox(&self) -> Vec<(MessageId, OutboxRow)> {
        let (tables, _) = self.begin();
        tables
            .outbox
            .iter()
            .map(|(id, entry)| (*id, OutboxRow::of(entry)))
            .collect()
    }

    /// The rows that refer to a missing message or conversation, with their table.
    #[must_use]
    pub fn dangling_references(&self) -> Vec<(&'static str, String)> {
        let (tables, _) = self.begin();
        let about_messages = (tables.outbox.keys().map(|id| ("outbox", *id)))
            .chain(tables.attempts.keys().map(|id| ("attempts", *id)))
            .chain(
                tables
                    .keys
                    .values()
                    .map(|key| ("idempotency_keys", key.message_id)),
            )
            .chain(tables.inbound_ids.values().map(|id| ("inbound_ids", *id)));
        let applied = tables.receipts.values().filter_map(|row| row.stored.applied_to);
        let events = tables.log.events.values();
        let of_events = events.filter_map(|event| event.subject.message_id());
        let about_messages = about_messages
            .chain(applied.map(|id| ("receipts", id)))
            .chain(tables.followed_messages().map(|id| ("follow_ups", id)))
            .chain(of_events.map(|id| ("event_batches", id)));
        let dangling = about_messages.filter(|(_, id)| !tables.messages.contains_key(id));
        let threads = (tables.messages.values())
            .filter_map(|row| row.message.thread)
            .filter(|(conversation, _)| !tables.conversations.contains_key(conversation));
        let messages = threads.map(|(conversation, _)| ("messages", conversation.to_string()));
        dangling
            .map(|(table, id)| (table, id.to_string()))
            .chain(messages)
            .collect()
    }

    #[must_use]
    pub fn status(&self, id: MessageId) -> Option<Status> {
        let (tables, now) = self.begin();
        tables.messages.get(&id).map(|row| tables.status(row, now))
    }
}

impl OutboxRow {
    fn of(entry: &Entry) -> Self {
        Self {
            provider: entry.provider.clone(),
            due_at: entry.due_at,
            leased_until: entry.leased_until,
            token: entry.token,
            deadline_at: entry.deadline_at,
            dead_at: entry.dead_at,
            progress: entry.progress,
        }
    }
}
