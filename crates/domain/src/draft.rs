use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    Address, Attachments, AttachmentsError, Body, Channel, Content, Fingerprint, Metadata, NewMessage,
    Region, Schedule, Subject, Timestamp, without_display_name,
};

/// How far ahead a message may be scheduled: any day of the next year.
const SCHEDULED_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// A message as a request or a record spells it, not yet checked. `None` where nothing was given.
pub struct Draft {
    pub origin: Origin,
    pub channel: Channel,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Ignored unless the channel is email.
    pub subject: Option<String>,
    pub body: Option<String>,
    pub attachments: Option<Vec<String>>,
    pub timestamp: Option<Timestamp>,
    pub send_at: Option<String>,
    pub expires_at: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// How strictly a draft is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client asks to send it and can correct it: every rule applies.
    Client,
    /// It exists already, at a provider or in an archive: only what cannot be stored is refused.
    Provider,
}

#[derive(Debug, Clone, Copy)]
pub struct DraftRules {
    /// The region whose national phone numbers are understood.
    pub default_region: Option<Region>,
    /// The greatest number of attachments of a message to send.
    pub attachments_max: usize,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong and how to correct it. It never repeats what was given.
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl ToString) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.to_string(),
        }
    }
}

/// Shows no address and no text.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({})", self.channel)
    }
}

impl Origin {
    /// The channel that the fields `channel` and `type` name together. A route of one channel needs neither.
    ///
    /// # Errors
    /// When a field names none of `taken`, both are missing, or they contradict each other.
    pub fn channel(
        self,
        taken: &[Channel],
        channel: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Channel, FieldError> {
        let named = |pointer: &str, word: Option<&str>| match word {
            None => Ok(None),
            Some(word) => {
                let same = |channel: &&Channel| match self {
                    Self::Client => channel.as_str() == word,
                    Self::Provider => channel.as_str().eq_ignore_ascii_case(word.trim()),
                };
                let found = taken.iter().find(same).copied().map(Some);
                found.ok_or_else(|| FieldError::new(pointer, format!("use one of: {}", words(taken))))
            }
        };
        match (named("/channel", channel)?, named("/type", kind)?) {
            (Some(channel), Some(kind)) if channel != kind => Err(FieldError::new(
                "/type",
                format!("must be the channel, {channel}, or left out"),
            )),
            (Some(channel), _) | (None, Some(channel)) => Ok(channel),
            (None, None) => match taken {
                [only] => Ok(*only),
                [Channel::Sms, Channel::Mms] => Err(FieldError::new("/type", "is required: sms or mms")),
                _ => Err(FieldError::new(
                    "/channel",
                    format!("is required, one of: {}", words(taken)),
                )),
            },
        }
    }
}

fn words(channels: &[Channel]) -> String {
    channels
        .iter()
        .map(|channel| channel.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Draft {
    /// Identifies what the request says, to compare it with another request of the same idempotency key. Instants count,
    /// not their spelling; a timestamp that is never believed equals a missing one.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let timestamp = self
            .timestamp
            .filter(|timestamp| *timestamp >= Timestamp::EARLIEST);
        let instant = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
        let [timestamp, send_at, expires_at] = [timestamp, instant(&self.send_at), instant(&self.expires_at)]
            .map(|instant| instant.map(|instant| instant.to_string()));
        // The number of entries comes before them, so that none is taken for an attachment.
        let entries = self.metadata.iter().flatten();
        let entries_count = entries.clone().count().to_string();
        let fields = [
            Some(self.channel.as_str()),
            self.from.as_deref(),
            self.to.as_deref(),
            self.subject.as_deref().filter(|_| self.channel == Channel::Email),
            self.body.as_deref(),
            timestamp.as_deref(),
            send_at.as_deref(),
            expires_at.as_deref(),
            Some(entries_count.as_str()),
        ];
        let entries = entries.flat_map(|(name, value)| [Some(name.as_str()), Some(value.as_str())]);
        let attachments = self.attachments.iter().flatten().map(|url| Some(url.as_str()));
        Fingerprint::of(fields.into_iter().chain(entries).chain(attachments))
    }

    /// Whether its own deadline can be read and has passed.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        let expires_at = self.expires_at.as_deref().and_then(Timestamp::parse);
        expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Checks every part. A timestamp before 1990 or more than an hour after `now` counts as missing, and so does a time to
    /// send that has passed.
    ///
    /// # Errors
    /// All that is wrong, not only the first thing.
    pub fn check(self, rules: &DraftRules, now: Timestamp) -> Result<NewMessage, Vec<FieldError>> {
        let region = rules.default_region;
        let lenient = self.origin == Origin::Provider;
        let urls = self.attachments.unwrap_or_default();
        let channel = match self.channel {
            // Some providers call every text message an SMS.
            Channel::Sms if lenient && !urls.is_empty() => Channel::Mms,
            channel => channel,
        };
        let mut errors = Vec::new();
        // Mail headers have `Name <address>`, and the address counts. A line break around a number belongs to no number.
        let address = |text: String| match (lenient, channel) {
            (true, Channel::Email) => without_display_name(&text).to_owned(),
            (true, _) => text.trim_matches(['\r', '\n']).to_owned(),
            (false, _) => text,
        };
        let from = required("/from", self.from.map(address), &mut errors)
            .and_then(|text| valid("/from", Address::sender(channel, &text, region), &mut errors));
        let to = required("/to", self.to.map(address), &mut errors)
            .and_then(|text| valid("/to", Address::recipient(channel, &text, region), &mut errors));
        let subject = self.subject.filter(|_| channel == Channel::Email);
        let subject = subject.map(|text| {
            if lenient {
                storable(Subject::unfold(&text))
            } else {
                text
            }
        });
        let subject = subject.and_then(|text| valid("/subject", Subject::new(text), &mut errors));
        let body = match self.body {
            None if lenient || channel == Channel::Mms => Some(String::new()),
            body => required("/body", body, &mut errors),
        };
        let body = body.map(|text| if lenient { storable(text) } else { text });
        let body = body.and_then(|text| valid("/body", Body::new(text), &mut errors));
        // What exists already is bounded by the size of its request or record.
        let attachments_max = if lenient {
            usize::MAX
        } else {
            rules.attachments_max
        };
        let attachments = attachments(attachments_max, urls, &mut errors);
        if let (Some(body), Some(attachments)) = (&body, &attachments) {
            let error = wrong_shape(channel, lenient, body, attachments);
            errors.extend(error);
        }
        let schedule = schedule(self.send_at, self.expires_at, now, &mut errors);
        let metadata = Metadata::new(self.metadata.unwrap_or_default());
        let metadata = valid("/metadata", metadata, &mut errors);
        let (Some(from), Some(to), Some(body), Some(attachments), Some(metadata), true) =
            (from, to, body, attachments, metadata, errors.is_empty())
        else {
            return Err(errors);
        };
        let content = Content {
            channel,
            from: from.given,
            to: to.given,
            subject,
            body,
            attachments,
            metadata,
        };
        Ok(NewMessage {
            from: from.participant,
            to: to.participant,
            content: Arc::new(content),
            timestamp: schedule
                .send_at
                .or(self.timestamp.filter(|timestamp| timestamp.is_believable(now))),
            schedule,
        })
    }
}

fn schedule(
    send_at: Option<String>,
    expires_at: Option<String>,
    now: Timestamp,
    errors: &mut Vec<FieldError>,
) -> Schedule {
    let mut instant = |pointer: &str, text: Option<String>| {
        let read =
            |text: String| Timestamp::parse(&text).ok_or("use a date and time of RFC 3339 with an offset");
        text.and_then(|text| valid(pointer, read(text), errors))
    };
    let send_at = instant("/send_at", send_at).filter(|send_at| *send_at > now);
    let expires_at = instant("/expires_at", expires_at);
    if send_at.is_some_and(|send_at| send_at > now.saturating_add(SCHEDULED_AHEAD_MAX)) {
        errors.push(FieldError::new("/send_at", "is more than 366 days ahead"));
    }
    if expires_at.is_some_and(|expires_at| expires_at <= send_at.unwrap_or(now)) {
        let detail = "must be in the future, and after send_at";
        errors.push(FieldError::new("/expires_at", detail));
    }
    Schedule { send_at, expires_at }
}

/// What is wrong with a body and attachments that are valid on their own.
fn wrong_shape(
    channel: Channel,
    lenient: bool,
    body: &Body,
    attachments: &Attachments,
) -> Option<FieldError> {
    let (pointer, detail) = match (channel, body.as_str().is_empty(), attachments.is_empty()) {
        _ if lenient => return None,
        (Channel::Sms, _, false) => ("/attachments", "an SMS has no attachments: use type \"mms\""),
        (Channel::Mms, _, true) => (
            "/attachments",
            "an MMS needs at least one attachment: add one, or use type \"sms\"",
        ),
        (Channel::Sms | Channel::Email, true, _) => ("/body", "must not be empty"),
        _ => return None,
    };
    Some(FieldError::new(pointer, detail))
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

/// Replaces NUL, which PostgreSQL cannot store, by the replacement character.
fn storable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

fn attachments(max: usize, urls: Vec<String>, errors: &mut Vec<FieldError>) -> Option<Attachments> {
    let checked = Attachments::new(urls, max);
    let pointer = match &checked {
        Err(AttachmentsError::NotAUrl { index }) => format!("/attachments/{index}"),
        _ => "/attachments".to_owned(),
    };
    valid(&pointer, checked, errors)
}
