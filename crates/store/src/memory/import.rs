use domain::{ConversationKey, Direction, Message, MessageId, Status};

use super::Tables;
use crate::{Assigned, Import, WithoutConversation};

impl Tables {
    pub(super) fn import(&mut self, import: &Import) -> bool {
        let inbound_id = (import.provider.clone(), import.provider_message_id.clone());
        if self.inbound_ids.contains_key(&inbound_id) {
            return false;
        }
        self.inbound_ids.insert(inbound_id, import.id);
        let message = Message {
            id: import.id,
            thread: None,
            direction: import.direction,
            content: import.content.clone(),
            timestamp: import.timestamp,
            processed_at: import.processed_at,
            status: match import.direction {
                Direction::Inbound => Status::Received,
                Direction::Outbound => Status::Dispatched,
            },
            provider: Some(import.provider.clone()),
            failure: None,
        };
        self.messages.insert(import.id, message);
        true
    }

    pub(super) fn without_conversation(&self) -> impl Iterator<Item = WithoutConversation> {
        let without_conversation = self.messages.values().filter(|message| message.thread.is_none());
        without_conversation.map(|message| WithoutConversation {
            id: message.id,
            channel: message.content.channel,
            from: message.content.from.clone(),
            to: message.content.to.clone(),
        })
    }

    pub(super) fn assign(&mut self, batch: &[(MessageId, ConversationKey)]) -> Assigned {
        let mut assigned = Assigned::default();
        for (id, key) in batch {
            let without_conversation = self.messages.get(id).filter(|message| message.thread.is_none());
            let Some((timestamp, processed_at)) =
                without_conversation.map(|message| (message.timestamp, message.processed_at))
            else {
                continue;
            };
            let thread = self.join(key, timestamp, processed_at);
            if let Some(message) = self.messages.get_mut(id) {
                message.thread = Some(thread);
            }
            assigned.messages += 1;
            assigned.conversations += u64::from(thread.1 == 1);
        }
        assigned
    }
}
