//! What the port does not tell, for those who judge a run from outside: the simulation's checkers.

use domain::{LeaseToken, MessageId, ProviderName, Status, Timestamp};

use store::Progress;

use crate::{Entry, Memory};

/// An outbox entry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Whose queue it is in.
    pub provider: ProviderName,
    /// When it may be claimed, unless it is leased.
    pub due_at: Timestamp,
    /// Until when a node holds it.
    pub leased_until: Option<Timestamp>,
    /// Of its latest lease.
    pub token: LeaseToken,
    /// When it is given up.
    pub deadline_at: Timestamp,
    /// When it became a dead letter.
    pub dead_at: Option<Timestamp>,
    /// What happened to it so far.
    pub progress: Progress,
}

impl Memory {
    /// The outbox entry of a message, while there is one.
    #[must_use]
    pub fn outbox_row(&self, id: MessageId) -> Option<OutboxRow> {
        self.begin().0.outbox.get(&id).map(OutboxRow::of)
    }

    /// All outbox entries, by message.
    #[must_use]
    pub fn outbox(&self) -> Vec<(MessageId, OutboxRow)> {
        let (tables, _) = self.begin();
        tables
            .outbox
            .iter()
            .map(|(id, entry)| (*id, OutboxRow::of(entry)))
            .collect()
    }

    /// Every row that is about a message or a conversation that is not there, by table.
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
        let dangling = about_messages.filter(|(_, id)| !tables.messages.contains_key(id));
        let threads = (tables.messages.values())
            .filter_map(|message| message.thread)
            .filter(|(conversation, _)| !tables.conversations.contains_key(conversation));
        let messages = threads.map(|(conversation, _)| ("messages", conversation.to_string()));
        dangling
            .map(|(table, id)| (table, id.to_string()))
            .chain(messages)
            .collect()
    }

    /// Where a message stands, if there is such a message.
    #[must_use]
    pub fn status(&self, id: MessageId) -> Option<Status> {
        self.begin().0.messages.get(&id).map(|message| message.status)
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
