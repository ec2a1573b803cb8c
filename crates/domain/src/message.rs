use thiserror::Error;

use crate::{
    Address, Attachments, Body, Channel, ConversationId, ErrorCode, FailureReason, GivenAddress, MessageId,
    ProviderName, Subject, Timestamp, vocabulary::vocabulary,
};

vocabulary! {
    /// Which way a message went, seen from here.
    pub enum Direction {
        /// From a provider to us.
        Inbound = "inbound",
        /// From us to a provider.
        Outbound = "outbound",
    }
}

vocabulary! {
    /// Where a message stands. It never goes back, except that a redrive makes a failed message pending again.
    pub enum Status {
        /// Outbound, accepted and not yet final.
        Pending = "pending",
        /// Outbound, taken by the provider.
        Dispatched = "dispatched",
        /// Outbound, given up: a dead letter.
        Failed = "failed",
        /// Inbound.
        Received = "received",
    }
}

/// What a message says, and from whom to whom: what is stored, returned and handed to a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// How it travels.
    pub channel: Channel,
    /// From whom, as given.
    pub from: GivenAddress,
    /// To whom, as given.
    pub to: GivenAddress,
    /// Only emails have one.
    pub subject: Option<Subject>,
    /// What it says.
    pub body: Body,
    /// What is attached.
    pub attachments: Attachments,
}

/// Parts that are fine each, but do not make a message of their channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Nothing is said.
    #[error("must not be empty")]
    EmptyBody,
    /// An MMS that says nothing and shows nothing.
    #[error("an MMS needs a body or at least one attachment")]
    EmptyMms,
    /// An SMS cannot carry attachments.
    #[error("an SMS has no attachments: use type \"mms\"")]
    SmsAttachments,
}

impl Content {
    /// Puts the parts of a message together.
    ///
    /// # Errors
    /// When they do not make a message of this channel. A subject is dropped on SMS and MMS, which have none.
    pub fn new(
        channel: Channel,
        from: &Address,
        to: &Address,
        subject: Option<Subject>,
        body: Body,
        attachments: Attachments,
    ) -> Result<Self, ContentError> {
        match (channel, body.as_str().is_empty(), attachments.is_empty()) {
            (Channel::Sms, _, false) => Err(ContentError::SmsAttachments),
            (Channel::Mms, true, true) => Err(ContentError::EmptyMms),
            (Channel::Sms | Channel::Email, true, _) => Err(ContentError::EmptyBody),
            _ => {
                let subject = subject.filter(|_| channel == Channel::Email);
                let (from, to) = (from.given.clone(), to.given.clone());
                Ok(Self {
                    channel,
                    from,
                    to,
                    subject,
                    body,
                    attachments,
                })
            }
        }
    }
}

impl Content {
    /// Bytes of its texts: subject, body and attachments.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let subject = self.subject.as_ref().map_or(0, |subject| subject.as_str().len());
        let attachments: usize = self.attachments.as_slice().iter().map(String::len).sum();
        subject + self.body.as_str().len() + attachments
    }
}

/// A stored message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its conversation, and its place in it: 1, 2, 3 … without gaps, in the order of joining. An imported message has
    /// none until the backfill gives it one.
    pub thread: Option<(ConversationId, u64)>,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// When it was written, as its sender said, or else when it was processed.
    pub timestamp: Timestamp,
    /// When it was accepted here.
    pub processed_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Which provider serves it, or brought it.
    pub provider: Option<ProviderName>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
}

/// Why a message became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The rule that ended it.
    pub reason: FailureReason,
    /// The last error, if a provider or worker gave one.
    pub error_code: Option<ErrorCode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(channel: Channel, body: &str, attachments: &[&str]) -> Result<Content, ContentError> {
        let text = if channel == Channel::Email {
            "a@example.com"
        } else {
            "+12016661234"
        };
        let address = Address::recipient(channel, text, None).unwrap();
        let attachments = attachments.iter().map(|url| (*url).to_owned()).collect();
        let attachments = Attachments::new(attachments, 10).unwrap();
        let subject = Some(Subject::new("s").unwrap());
        Content::new(
            channel,
            &address,
            &address,
            subject,
            Body::new(body).unwrap(),
            attachments,
        )
    }

    #[test]
    fn each_channel_has_its_shape() {
        let url = ["https://example.com/a.png"];
        assert!(content(Channel::Sms, "hi", &[]).is_ok());
        assert!(content(Channel::Sms, " ", &[]).is_ok());
        assert!(content(Channel::Mms, "", &url).is_ok());
        assert!(content(Channel::Mms, "hi", &[]).is_ok());
        assert!(content(Channel::Email, "<p>hi</p>", &url).is_ok());
        assert_eq!(content(Channel::Sms, "", &[]), Err(ContentError::EmptyBody));
        assert_eq!(
            content(Channel::Sms, "hi", &url),
            Err(ContentError::SmsAttachments)
        );
        assert_eq!(content(Channel::Mms, "", &[]), Err(ContentError::EmptyMms));
        assert_eq!(content(Channel::Email, "", &url), Err(ContentError::EmptyBody));
    }

    #[test]
    fn only_emails_have_subjects() {
        assert_eq!(content(Channel::Sms, "hi", &[]).unwrap().subject, None);
        assert!(content(Channel::Email, "hi", &[]).unwrap().subject.is_some());
    }
}
