use crate::vocabulary::vocabulary;

vocabulary! {
    pub enum Channel {
        Sms = "sms",
        Mms = "mms",
        Email = "email",
    }
}

vocabulary! {
    pub enum ConversationChannel {
        Sms = "sms",
        Email = "email",
    }
}

impl Channel {
    /// SMS and MMS share a conversation, as on any phone.
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
    fn a_word_is_parsed_back_and_a_wrong_one_lists_the_known() {
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
