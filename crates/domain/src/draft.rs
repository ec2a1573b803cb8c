use std::fmt;

use serde::Serialize;

use crate::{
    Address, Attachments, AttachmentsError, Body, Channel, Content, ContentError, Fingerprint, Region,
    Subject, Timestamp,
};

/// A message as it was written down outside; `None` where nothing was given.
pub struct Draft {
    /// How it travels.
    pub channel: Channel,
    /// From whom.
    pub from: Option<String>,
    /// To whom.
    pub to: Option<String>,
    /// Its subject; email only.
    pub subject: Option<String>,
    /// What it says.
    pub body: Option<String>,
    /// The URLs of its attachments.
    pub attachments: Option<Vec<String>>,
    /// When it was written.
    pub timestamp: Option<String>,
}

/// A message whose every part is valid.
#[derive(Debug, Clone)]
pub struct ValidMessage {
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// What it says.
    pub content: Content,
    /// When it was written, if that was said in a way that can be read.
    pub timestamp: Option<Timestamp>,
}

/// What drafts are checked against.
#[derive(Debug, Clone, Copy)]
pub struct DraftRules {
    /// The region whose national phone numbers are understood.
    pub default_region: Option<Region>,
    /// Attachments a message may have.
    pub attachments_max: usize,
}

/// What is wrong with one part of what came from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl FieldError {
    /// What is wrong where.
    pub fn new(pointer: impl Into<String>, detail: impl ToString) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.to_string(),
        }
    }
}

/// Says nothing of what it holds: addresses and words of people.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({})", self.channel)
    }
}

impl Draft {
    /// What was said, for comparing it with what another request of the same key says.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Self {
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        } = self;
        let fields = [
            Some(channel.as_str()),
            from.as_deref(),
            to.as_deref(),
            subject.as_deref(),
            body.as_deref(),
        ];
        let attachments = attachments.iter().flatten().map(|url| Some(url.as_str()));
        Fingerprint::of(
            fields
                .into_iter()
                .chain([timestamp.as_deref()])
                .chain(attachments),
        )
    }

    /// Checks every part.
    ///
    /// # Errors
    /// All that is wrong, not only the first thing.
    pub fn check(self, rules: &DraftRules) -> Result<ValidMessage, Vec<FieldError>> {
        let (channel, region) = (self.channel, rules.default_region);
        let mut errors = Vec::new();
        let from = required("/from", self.from, &mut errors)
            .and_then(|text| valid("/from", Address::sender(channel, &text, region), &mut errors));
        let to = required("/to", self.to, &mut errors)
            .and_then(|text| valid("/to", Address::recipient(channel, &text, region), &mut errors));
        let subject = self
            .subject
            .map(|text| valid("/subject", Subject::new(text), &mut errors))
            .unwrap_or_default();
        let body = required("/body", self.body, &mut errors)
            .and_then(|text| valid("/body", Body::new(text), &mut errors));
        let attachments = attachments(rules, self.attachments.unwrap_or_default(), &mut errors);
        let (Some(from), Some(to), Some(body), Some(attachments), true) =
            (from, to, body, attachments, errors.is_empty())
        else {
            return Err(errors);
        };
        let content = Content::new(channel, &from, &to, subject, body, attachments).map_err(|error| {
            let pointer = if error == ContentError::SmsAttachments {
                "/attachments"
            } else {
                "/body"
            };
            vec![FieldError::new(pointer, error)]
        })?;
        // A timestamp that cannot be read is no error: the message counts from when it was processed.
        let timestamp = self.timestamp.as_deref().and_then(Timestamp::parse);
        Ok(ValidMessage {
            from,
            to,
            content,
            timestamp,
        })
    }
}

/// The channel of a message on a route for SMS and MMS, by its `type`.
///
/// # Errors
/// When there is none, or another.
pub fn phone_channel(kind: Option<&str>) -> Result<Channel, FieldError> {
    match kind {
        Some("sms") => Ok(Channel::Sms),
        Some("mms") => Ok(Channel::Mms),
        Some(_) => Err(FieldError::new("/type", "use one of: sms, mms")),
        None => Err(FieldError::new("/type", "is required: sms or mms")),
    }
}

/// The channel that `channel` names; a `type` that says otherwise is a contradiction.
///
/// # Errors
/// When there is none, another, or a contradiction.
pub fn named_channel(channel: Option<&str>, kind: Option<&str>) -> Result<Channel, FieldError> {
    let Some(name) = channel else {
        return Err(FieldError::new("/channel", "is required: sms, mms or email"));
    };
    let channel: Channel = name.parse().map_err(|error| FieldError::new("/channel", error))?;
    match kind {
        Some(kind) if kind != channel.as_str() => Err(FieldError::new(
            "/type",
            format!("leave it out, or let it agree with the channel: {channel}"),
        )),
        _ => Ok(channel),
    }
}

fn required<T>(pointer: &str, value: Option<T>, errors: &mut Vec<FieldError>) -> Option<T> {
    if value.is_none() {
        errors.push(FieldError::new(pointer, "is required"));
    }
    value
}

fn valid<T, E: ToString>(pointer: &str, result: Result<T, E>, errors: &mut Vec<FieldError>) -> Option<T> {
    result
        .map_err(|error| errors.push(FieldError::new(pointer, error)))
        .ok()
}

fn attachments(rules: &DraftRules, urls: Vec<String>, errors: &mut Vec<FieldError>) -> Option<Attachments> {
    let checked = Attachments::new(urls, rules.attachments_max);
    let pointer = match &checked {
        Err(AttachmentsError::NotAUrl { index }) => format!("/attachments/{index}"),
        _ => "/attachments".to_owned(),
    };
    valid(&pointer, checked, errors)
}
