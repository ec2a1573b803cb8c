use std::fmt;

use crate::{ConversationChannel, ConversationId, Participant, Timestamp};

/// What makes a conversation one: its channel and its two participants, whoever wrote to whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationKey {
    channel: ConversationChannel,
    participants: [Participant; 2],
}

impl ConversationKey {
    /// The key of the conversation between two participants, the same in both directions.
    #[must_use]
    pub fn new(channel: ConversationChannel, one: Participant, other: Participant) -> Self {
        let participants = if one <= other { [one, other] } else { [other, one] };
        Self {
            channel,
            participants,
        }
    }

    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> ConversationChannel {
        self.channel
    }

    /// The participant that sorts first, byte by byte.
    #[must_use]
    pub fn participant_a(&self) -> &Participant {
        &self.participants[0]
    }

    /// The participant that sorts last.
    #[must_use]
    pub fn participant_b(&self) -> &Participant {
        &self.participants[1]
    }

    /// `{channel}:{participant_a}<->{participant_b}`, for people to read. Not a Display, so that it reaches no log by
    /// accident; uniqueness is on the three fields.
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
    /// Its id.
    pub id: ConversationId,
    /// What makes it one.
    pub key: ConversationKey,
    /// Exactly how many messages it holds.
    pub message_count: u64,
    /// The latest timestamp of its messages.
    pub last_activity_at: Timestamp,
    /// When its first message was processed.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_makes_no_difference() {
        let [a, b] = ["+12016661234", "+18045551234"].map(Participant::from_stored);
        let key = ConversationKey::new(ConversationChannel::Sms, b.clone(), a.clone());
        assert_eq!(key, ConversationKey::new(ConversationChannel::Sms, a, b));
        assert_eq!(key.to_text(), "sms:+12016661234<->+18045551234");
        assert_eq!(format!("{key:?}"), "ConversationKey(sms, ***)");
    }
}
