use std::time::Duration;

use trunkline_domain::{
    Address, Attachments, AttachmentsError, Channel, Draft, DraftRules, NewMessage, Origin, Timestamp,
    without_display_name,
};

/// When drafts are checked.
fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T10:00:00Z").unwrap()
}

/// The parts of a draft, which can be checked more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    pub lenient: bool,
    pub channel: Channel,
    pub from: Option<String>,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub body: Option<String>,
    pub attachments: Option<Vec<String>>,
    pub timestamp: Option<String>,
}

impl Sketch {
    pub fn draft(&self) -> Draft {
        let Self {
            lenient,
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        } = self.clone();
        Draft {
            origin: if lenient { Origin::Provider } else { Origin::Client },
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp: timestamp.as_deref().and_then(Timestamp::parse),
            send_at: None,
            expires_at: None,
            metadata: None,
        }
    }

    /// The address that counts: on a lenient route, an email address may have a display name, and a number a line break around
    /// it.
    fn address<'a>(&self, given: &'a Option<String>) -> Option<&'a str> {
        match (self.lenient, self.channel) {
            (true, Channel::Email) => given.as_deref().map(without_display_name),
            (true, _) => given.as_deref().map(|text| text.trim_matches(['\r', '\n'])),
            (false, _) => given.as_deref(),
        }
    }

    /// What the fingerprint covers: no attachments equal an empty list, only an email has a subject, and of a timestamp
    /// its instant counts, unless it is never believed.
    fn meaning(&self) -> impl PartialEq {
        let Self {
            channel,
            from,
            to,
            body,
            ..
        } = self.clone();
        let subject = self.subject.clone().filter(|_| channel == Channel::Email);
        let attachments = self.attachments.clone().unwrap_or_default();
        let timestamp = self.timestamp.as_deref().and_then(Timestamp::parse);
        let timestamp = timestamp.filter(|timestamp| timestamp.to_string().as_str() >= "1990");
        (channel, from, to, subject, body, attachments, timestamp)
    }
}

/// A draft is kept to the byte, or exactly its errors are named, in order.
pub fn of_sketch(sketch: &Sketch, rules: &DraftRules) {
    let expected = wrong(sketch, rules);
    match sketch.draft().check(rules, now()) {
        Ok(checked) => {
            assert_eq!(expected, [""; 0], "the draft was accepted");
            kept(sketch, &checked);
        }
        Err(errors) => {
            let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(pointers, expected);
            // Other texts with the same fault give the same errors: no error repeats a text.
            let more = |text: &Option<String>| {
                text.clone()
                    .map(|text| if text.is_empty() { text } else { text + "!" })
            };
            let other = Sketch {
                subject: more(&sketch.subject),
                body: more(&sketch.body),
                ..sketch.clone()
            };
            assert_eq!(other.draft().check(rules, now()).err(), Some(errors));
        }
    }
    assert_eq!(sketch.draft().fingerprint(), sketch.draft().fingerprint());
}

/// Two drafts have the same fingerprint exactly if they mean the same.
pub fn of_two_sketches(one: &Sketch, other: &Sketch) {
    let same = one.meaning() == other.meaning();
    assert_eq!(
        one.draft().fingerprint() == other.draft().fingerprint(),
        same,
        "{one:?}\n{other:?}"
    );
}

fn kept(sketch: &Sketch, message: &NewMessage) {
    let content = &message.content;
    assert_eq!(Some(content.from.as_str()), sketch.address(&sketch.from));
    assert_eq!(Some(content.to.as_str()), sketch.address(&sketch.to));
    let urls = sketch.attachments.as_deref().unwrap_or_default();
    match sketch.channel {
        Channel::Sms if !urls.is_empty() => assert_eq!(content.channel, Channel::Mms),
        channel => assert_eq!(content.channel, channel),
    }
    assert_eq!(
        content.body.as_str(),
        stored(sketch.body.as_deref().unwrap_or_default())
    );
    match (sketch.channel, &sketch.subject) {
        (Channel::Email, Some(subject)) => {
            unfolded(&stored(subject), content.subject.as_ref().unwrap().as_str())
        }
        _ => assert_eq!(content.subject, None),
    }
    assert_eq!(content.attachments.as_slice(), urls);
    let given = sketch.timestamp.as_deref().and_then(Timestamp::parse);
    let year = |timestamp: Timestamp| timestamp.to_string()[..4].parse::<u16>().unwrap();
    let hour = Duration::from_secs(3_600);
    let believed = given.filter(|given| year(*given) >= 1990 && given.saturating_since(now()) <= hour);
    assert_eq!(message.timestamp, believed);
}

/// NUL cannot be stored, and the replacement character stands for it. A client's text has none.
fn stored(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The words of all lines of a subject are kept, on one line.
fn unfolded(given: &str, kept: &str) {
    assert!(!kept.contains(['\r', '\n']));
    if given.contains(['\r', '\n']) {
        let words = |text: &str| text.split([' ', '\t', '\r', '\n']).collect::<String>();
        assert_eq!(words(kept), words(given));
    } else {
        assert_eq!(kept, given);
    }
}

/// The pointers to all faults: first of each part, then of body and attachments together. Addresses and URLs have claims of
/// their own.
fn wrong(sketch: &Sketch, rules: &DraftRules) -> Vec<String> {
    let (channel, region) = (sketch.channel, rules.default_region);
    let sender = |text: &str| Address::sender(channel, text, region).is_ok();
    let recipient = |text: &str| Address::recipient(channel, text, region).is_ok();
    let body = |text: &String| sketch.lenient || !text.contains('\0');
    let subject = |text: &String| body(text) && (sketch.lenient || !text.contains(['\r', '\n']));
    let may_lack_body = sketch.lenient || channel == Channel::Mms;
    let mut wrong = Vec::new();
    let mut require = |holds: bool, pointer: &str| {
        if !holds {
            wrong.push(pointer.to_owned());
        }
    };
    require(sketch.address(&sketch.from).is_some_and(sender), "/from");
    require(sketch.address(&sketch.to).is_some_and(recipient), "/to");
    require(
        channel != Channel::Email || sketch.subject.as_ref().is_none_or(subject),
        "/subject",
    );
    let has_body = sketch.body.as_ref().map_or(may_lack_body, body);
    require(has_body, "/body");
    let urls = sketch.attachments.clone().unwrap_or_default();
    let no_url =
        |url: &String| Attachments::new(vec![url.clone()], 1) == Err(AttachmentsError::NotAUrl { index: 0 });
    let bad_url = urls.iter().position(no_url);
    if !sketch.lenient && urls.len() > rules.attachments_max {
        require(false, "/attachments");
    } else if let Some(index) = bad_url {
        require(false, &format!("/attachments/{index}"));
    } else if has_body {
        let is_empty = sketch.body.as_deref().unwrap_or_default().is_empty();
        match channel {
            _ if sketch.lenient => {}
            Channel::Sms if !urls.is_empty() => require(false, "/attachments"),
            Channel::Mms => require(!urls.is_empty(), "/attachments"),
            Channel::Sms | Channel::Email => require(!is_empty, "/body"),
        }
    }
    wrong
}
