use std::fmt;

use crate::{ConversationChannel, ConversationId, Participant, Timestamp};

/// Identifies a conversation: its channel and its two participants, in either direction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationKey {
    channel: ConversationChannel,
    participants: [Participant; 2],
}

impl ConversationKey {
    #[must_use]
    pub fn new(channel: ConversationChannel, one: Participant, other: Participant) -> Self {
        let participants = if one <= other { [one, other] } else { [other, one] };
        Self {
            channel,
            participants,
        }
    }

    #[must_use]
    pub fn channel(&self) -> ConversationChannel {
        self.channel
    }

    /// The participant that sorts first, by bytes.
    #[must_use]
    pub fn participant_a(&self) -> &Participant {
        &self.participants[0]
    }

    #[must_use]
    pub fn participant_b(&self) -> &Participant {
        &self.participants[1]
    }

    /// `{channel}:{participant_a}<->{participant_b}`, for people to read. Not a `Display`, so that it reaches no log by
    /// accident.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}:{}<->{}",
            self.channel,
            self.participant_a().as_str(),
            self.participant_b().as_str()
        )
    }
}

impl fmt::Debug for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConversationKey({}, ***)", self.channel)
    }
}

/// A durable thread of messages between two participants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    pub id: ConversationId,
    pub key: ConversationKey,
    pub message_count: u64,
    /// The greatest of the messages' timestamps, each at most its time of processing: what lies ahead pins nothing to the top.
    pub last_activity_at: Timestamp,
    /// When the first message was processed.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_the_same_key() {
        let [a, b] = ["+12016661234", "+18045551234"].map(Participant::from_stored);
        let key = ConversationKey::new(ConversationChannel::Sms, b.clone(), a.clone());
        assert_eq!(key, ConversationKey::new(ConversationChannel::Sms, a, b));
        assert_eq!(key.to_text(), "sms:+12016661234<->+18045551234");
        assert_eq!(format!("{key:?}"), "ConversationKey(sms, ***)");
    }
}
