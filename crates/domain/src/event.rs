use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{
    ConversationId, ErrorCode, FailureReason, InvalidId, MessageId, Timestamp, WebhookEndpointId,
    vocabulary::vocabulary,
};

vocabulary! {
    /// What an event says has happened.
    pub enum EventType {
        MessageAccepted = "message.accepted",
        MessageReceived = "message.received",
        MessageDispatched = "message.dispatched",
        MessageDelivered = "message.delivered",
        MessageUndelivered = "message.undelivered",
        MessageFailed = "message.failed",
        MessageCanceled = "message.canceled",
        ConversationCreated = "conversation.created",
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
    }
}

vocabulary! {
    /// Why a webhook endpoint gets no events any more.
    pub enum DisabledReason {
        /// It answered 410.
        Gone = "gone",
        /// Nothing got through for three days.
        Failing = "failing",
    }
}

/// The place of an event in the log. All readers on all nodes see the same order; there may be gaps. Written with 16 digits, so
/// that ids also sort as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EventId(u64);

impl EventId {
    /// Before the first event.
    pub const START: Self = Self(0);
    const DIGITS: usize = 16;
    const MAX: u64 = 9_999_999_999_999_999;

    /// `None` for a number of more than 16 digits.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX {
            Some(Self(number))
        } else {
            None
        }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let plain = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| plain);
        number
            .and_then(Self::new)
            .ok_or(InvalidId("an event id has 16 digits"))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}", self.0)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that happened. It is stored in the transaction of the change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    /// By the database's clock.
    pub at: Timestamp,
    pub subject: EventSubject,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventSubject {
    Message {
        /// Of a new conversation, its first message.
        message_id: MessageId,
        conversation_id: ConversationId,
        /// Only of failed messages.
        reason: Option<FailureReason>,
        /// Of failed and undelivered messages, if known.
        error_code: Option<ErrorCode>,
    },
    WebhookEndpoint {
        id: WebhookEndpointId,
        reason: DisabledReason,
    },
}

impl EventSubject {
    #[must_use]
    pub fn conversation_id(&self) -> Option<ConversationId> {
        match self {
            Self::Message { conversation_id, .. } => Some(*conversation_id),
            Self::WebhookEndpoint { .. } => None,
        }
    }

    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Message { message_id, .. } => Some(*message_id),
            Self::WebhookEndpoint { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_has_one_spelling_and_sorts_as_text() {
        let ids = [0, 1, 9, 10, 12_345, EventId::MAX].map(|number| EventId::new(number).unwrap());
        let texts = ids.map(|id| id.to_string());
        assert!(texts.is_sorted());
        for (id, text) in ids.iter().zip(&texts) {
            assert_eq!(text.parse(), Ok(*id));
        }
        for text in [
            "",
            "1",
            "+000000000000001",
            "00000000000000001",
            "000000000000000x",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
        assert_eq!(EventId::new(EventId::MAX + 1), None);
    }
}
