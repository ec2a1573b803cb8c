use crate::vocabulary::vocabulary;

vocabulary! {
    /// How a message travels.
    pub enum Channel {
        /// A text message.
        Sms = "sms",
        /// A text message with attachments.
        Mms = "mms",
        /// An email.
        Email = "email",
    }
}

vocabulary! {
    /// The channel of a conversation.
    pub enum ConversationChannel {
        /// SMS and MMS.
        Sms = "sms",
        /// Email.
        Email = "email",
    }
}

impl Channel {
    /// Where its messages are threaded: SMS and MMS share a conversation, as on any phone; email has its own.
    #[must_use]
    pub const fn conversation(self) -> ConversationChannel {
        match self {
            Self::Sms | Self::Mms => ConversationChannel::Sms,
            Self::Email => ConversationChannel::Email,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_others_are_named() {
        for channel in Channel::ALL {
            assert_eq!(channel.as_str().parse(), Ok(*channel));
        }
        let error = "SMS".parse::<Channel>().unwrap_err();
        assert_eq!(error.to_string(), "use one of: sms, mms, email");
    }

    #[test]
    fn sms_and_mms_share_a_conversation_and_email_does_not() {
        assert_eq!(Channel::Sms.conversation(), Channel::Mms.conversation());
        assert_ne!(Channel::Sms.conversation(), Channel::Email.conversation());
    }
}
