//! From the fields of a request to a message that cannot be wrong.

use domain::{
    Address, Attachments, AttachmentsError, Body, Channel, Content, ContentError, Fingerprint, Subject,
    Timestamp,
};

use crate::{App, problem::FieldError};

/// A message as a client wrote it down; `None` where nothing was given.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) channel: Channel,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) body: Option<String>,
    pub(super) attachments: Option<Vec<String>>,
    pub(super) timestamp: Option<String>,
}

/// A message whose every part is valid.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) content: Content,
    pub(super) timestamp: Option<Timestamp>,
}

impl Draft {
    /// What the request said, for comparing it with another of the same key.
    pub(super) fn fingerprint(&self) -> Fingerprint {
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

    /// Checks every part and says all that is wrong, not only the first thing.
    pub(super) fn check(self, app: &App) -> Result<Checked, Vec<FieldError>> {
        let (channel, region) = (self.channel, app.settings().default_region);
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
        let attachments = attachments(app, self.attachments.unwrap_or_default(), &mut errors);
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
        Ok(Checked {
            from,
            to,
            content,
            timestamp,
        })
    }
}

/// The channel of a message on a route for SMS and MMS, by its `type`.
pub(super) fn phone_channel(kind: Option<&str>) -> Result<Channel, FieldError> {
    match kind {
        Some("sms") => Ok(Channel::Sms),
        Some("mms") => Ok(Channel::Mms),
        Some(_) => Err(FieldError::new("/type", "use one of: sms, mms")),
        None => Err(FieldError::new("/type", "is required: sms or mms")),
    }
}

/// The channel that `channel` names; a `type` that says otherwise is a contradiction.
pub(super) fn named_channel(channel: Option<&str>, kind: Option<&str>) -> Result<Channel, FieldError> {
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

fn attachments(app: &App, urls: Vec<String>, errors: &mut Vec<FieldError>) -> Option<Attachments> {
    let checked = Attachments::new(urls, app.settings().attachments_max);
    let pointer = match &checked {
        Err(AttachmentsError::NotAUrl { index }) => format!("/attachments/{index}"),
        _ => "/attachments".to_owned(),
    };
    valid(&pointer, checked, errors)
}
