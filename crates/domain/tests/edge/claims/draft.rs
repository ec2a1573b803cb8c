use trunkline_domain::{
    Address, Attachments, AttachmentsError, Channel, Draft, DraftRules, Timestamp, ValidMessage,
};

/// A draft that can be looked at twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
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
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        } = self.clone();
        Draft {
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        }
    }

    /// No attachments are the same as an empty list of them.
    fn said(&self) -> Self {
        let attachments = self.attachments.clone().filter(|urls| !urls.is_empty());
        Self {
            attachments,
            ..self.clone()
        }
    }
}

/// Any draft: it is kept to the byte, or everything that is wrong is named, in order, and nothing else.
pub fn of_sketch(sketch: &Sketch, rules: &DraftRules) {
    let expected = wrong(sketch, rules);
    match sketch.draft().check(rules) {
        Ok(checked) => {
            assert_eq!(expected, [""; 0], "it was accepted");
            kept(sketch, &checked);
        }
        Err(errors) => {
            let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(pointers, expected);
            // Whatever else was said, the same would be wrong with it: no error repeats a word.
            let more = |text: &Option<String>| {
                text.clone()
                    .map(|text| if text.is_empty() { text } else { text + "!" })
            };
            let other = Sketch {
                subject: more(&sketch.subject),
                body: more(&sketch.body),
                ..sketch.clone()
            };
            assert_eq!(other.draft().check(rules).err(), Some(errors));
        }
    }
    assert_eq!(sketch.draft().fingerprint(), sketch.draft().fingerprint());
}

/// Any two drafts have one fingerprint exactly when they say the same.
pub fn of_two_sketches(one: &Sketch, other: &Sketch) {
    let same = one.said() == other.said();
    assert_eq!(
        one.draft().fingerprint() == other.draft().fingerprint(),
        same,
        "{one:?}\n{other:?}"
    );
}

fn kept(sketch: &Sketch, checked: &ValidMessage) {
    let ValidMessage {
        from,
        to,
        content,
        timestamp,
    } = checked;
    assert_eq!(Some(from.given.as_str()), sketch.from.as_deref());
    assert_eq!(Some(to.given.as_str()), sketch.to.as_deref());
    assert_eq!((&content.from, &content.to), (&from.given, &to.given));
    assert_eq!(content.channel, sketch.channel);
    assert_eq!(Some(content.body.as_str()), sketch.body.as_deref());
    let subject = sketch
        .subject
        .as_deref()
        .filter(|_| sketch.channel == Channel::Email);
    assert_eq!(content.subject.as_ref().map(|subject| subject.as_str()), subject);
    let urls = sketch.attachments.as_deref().unwrap_or_default();
    assert_eq!(content.attachments.as_slice(), urls);
    assert_eq!(*timestamp, sketch.timestamp.as_deref().and_then(Timestamp::parse));
}

/// Where something is wrong: first in each part alone, and if all of them are fine, in how they go together. What an
/// address and a URL is has claims of its own.
fn wrong(sketch: &Sketch, rules: &DraftRules) -> Vec<String> {
    let (channel, region) = (sketch.channel, rules.default_region);
    let sender = |text: &String| Address::sender(channel, text, region).is_ok();
    let recipient = |text: &String| Address::recipient(channel, text, region).is_ok();
    let text = |text: &String| !text.contains('\0');
    let mut wrong = Vec::new();
    let mut owes = |holds: bool, pointer: &str| {
        if !holds {
            wrong.push(pointer.to_owned());
        }
    };
    owes(sketch.from.as_ref().is_some_and(sender), "/from");
    owes(sketch.to.as_ref().is_some_and(recipient), "/to");
    owes(sketch.subject.as_ref().is_none_or(text), "/subject");
    owes(sketch.body.as_ref().is_some_and(text), "/body");
    let urls = sketch.attachments.clone().unwrap_or_default();
    let no_url =
        |url: &String| Attachments::new(vec![url.clone()], 1) == Err(AttachmentsError::NotAUrl { index: 0 });
    if urls.len() > rules.attachments_max {
        owes(false, "/attachments");
    } else if let Some(index) = urls.iter().position(no_url) {
        owes(false, &format!("/attachments/{index}"));
    }
    if wrong.is_empty() {
        let says_nothing = sketch.body.as_deref() == Some("");
        match channel {
            Channel::Sms if !urls.is_empty() => wrong.push("/attachments".to_owned()),
            Channel::Mms if says_nothing && urls.is_empty() => wrong.push("/body".to_owned()),
            Channel::Sms | Channel::Email if says_nothing => wrong.push("/body".to_owned()),
            _ => {}
        }
    }
    wrong
}
