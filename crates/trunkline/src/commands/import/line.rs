use domain::{
    Content, Direction, Draft, DraftRules, FieldError, ProviderMessageId, ProviderName, Timestamp,
    ValidMessage, named_channel,
};
use providers::simulator::provider_name;
use serde::Deserialize;

/// A line, told apart and not checked yet.
#[derive(Deserialize)]
struct PastLine {
    direction: Option<String>,
    channel: Option<String>,
    r#type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    timestamp: Option<String>,
    provider: Option<String>,
    provider_message_id: Option<String>,
}

/// A past message whose every part is valid.
pub(super) struct Past {
    pub(super) direction: Direction,
    pub(super) content: Content,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) provider: ProviderName,
    pub(super) provider_message_id: ProviderMessageId,
    pub(super) payload: Box<str>,
}

impl Past {
    /// Reads a line. What is wrong with it is told without a word of what it says.
    pub(super) fn read(line: &[u8], rules: &DraftRules) -> Result<Self, Vec<String>> {
        let text = std::str::from_utf8(line).map_err(|_| vec!["is not UTF-8".to_owned()])?;
        let parsed = parse(text).map_err(|problem| vec![problem])?;
        check(parsed, text, rules).map_err(|errors| {
            let told = |error: FieldError| format!("{}: {}", error.pointer, error.detail);
            errors.into_iter().map(told).collect()
        })
    }
}

fn check(line: PastLine, text: &str, rules: &DraftRules) -> Result<Past, Vec<FieldError>> {
    let mut errors = Vec::new();
    let direction = valid(direction(line.direction.as_deref()), &mut errors);
    let channel = valid(
        named_channel(line.channel.as_deref(), line.r#type.as_deref()),
        &mut errors,
    );
    let id = valid(provider_message_id(line.provider_message_id), &mut errors);
    let named = line.provider.map(|name| {
        name.parse::<ProviderName>()
            .map_err(|error| FieldError::new("/provider", error))
    });
    let named = valid(named.transpose(), &mut errors);
    // What else is wrong depends on the channel.
    let Some(channel) = channel else {
        return Err(errors);
    };
    let draft = Draft {
        channel,
        from: line.from,
        to: line.to,
        // As over HTTP: only an email has one.
        subject: line.subject.filter(|_| channel == domain::Channel::Email),
        body: line.body,
        attachments: line.attachments,
        timestamp: line.timestamp,
    };
    let checked = draft.check(rules).map_err(|found| errors.extend(found)).ok();
    let (Some(direction), Some(provider_message_id), Some(named), Some(checked)) =
        (direction, id, named, checked)
    else {
        return Err(errors);
    };
    let ValidMessage {
        from: _,
        to: _,
        content,
        timestamp,
    } = checked;
    Ok(Past {
        direction,
        content,
        timestamp,
        provider: named.unwrap_or_else(|| provider_name(channel)),
        provider_message_id,
        payload: text.into(),
    })
}

/// The parser's own words would quote the line, so only the place is taken from it.
fn parse(text: &str) -> Result<PastLine, String> {
    // The parser would also take an array for our fields, in the order in which we happen to name them.
    if !text.starts_with('{') {
        return Err("is no JSON object".to_owned());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let invalid = |error: &serde_json::Error| format!("is not valid JSON, at column {}", error.column());
    let parsed: PastLine = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match (error.is_data(), path.as_str()) {
            (false, _) => invalid(&error),
            (true, ".") => "says something twice".to_owned(),
            (true, field) => format!("{field} has the wrong type"),
        }
    })?;
    deserializer.end().map_err(|error| invalid(&error))?;
    Ok(parsed)
}

fn direction(word: Option<&str>) -> Result<Direction, FieldError> {
    let word = word.ok_or_else(|| FieldError::new("/direction", "is required: inbound or outbound"))?;
    word.parse().map_err(|error| FieldError::new("/direction", error))
}

fn provider_message_id(id: Option<String>) -> Result<ProviderMessageId, FieldError> {
    let id = id.ok_or_else(|| FieldError::new("/provider_message_id", "is required"))?;
    id.parse()
        .map_err(|error| FieldError::new("/provider_message_id", error))
}

fn valid<T>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};
    use serde_json::{Value, json};

    use super::*;

    /// Inputs for each property.
    const CASES: u32 = 1_000;

    const RULES: DraftRules = DraftRules {
        default_region: None,
        attachments_max: 2,
    };

    fn sms() -> Value {
        json!({"direction": "inbound", "channel": "sms", "from": "+12015550123", "to": "+18045551234", "body": "secret",
               "provider_message_id": "m1"})
    }

    fn problems(line: &str) -> String {
        let problems = Past::read(line.as_bytes(), &RULES)
            .err()
            .expect("it is not valid");
        problems.join("; ")
    }

    #[test]
    fn a_line_is_a_message() {
        let past = Past::read(sms().to_string().as_bytes(), &RULES).ok().unwrap();
        assert_eq!(past.direction, Direction::Inbound);
        assert_eq!(past.provider.as_str(), "sms-mms");
        assert_eq!(past.provider_message_id.as_str(), "m1");
        assert_eq!(*past.payload, sms().to_string());
        let mut named = sms();
        named["provider"] = json!("elsewhere");
        named["unknown"] = json!({"is": ["left", "alone"]});
        named["subject"] = json!("of an SMS");
        let past = Past::read(named.to_string().as_bytes(), &RULES).ok().unwrap();
        assert_eq!(past.provider.as_str(), "elsewhere");
        assert_eq!(past.content.subject, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_its_words() {
        let cases = [
            ("direction", json!(null), "/direction: is required"),
            (
                "direction",
                json!("sideways"),
                "/direction: use one of: inbound, outbound",
            ),
            ("channel", json!("fax"), "/channel: use one of: sms, mms, email"),
            ("type", json!("mms"), "/type: leave it out"),
            ("from", json!("secret@example.com"), "/from: use a phone number"),
            ("to", json!(null), "/to: is required"),
            ("body", json!(""), "/body: "),
            ("body", json!("secret\u{0}"), "/body: remove the NUL character"),
            ("body", json!(["secret"]), "body has the wrong type"),
            (
                "attachments",
                json!(["http://a/", 7]),
                "attachments[1] has the wrong type",
            ),
            ("attachments", json!("secret"), "attachments has the wrong type"),
            (
                "provider",
                json!("Secret Provider"),
                "/provider: a provider name has",
            ),
            (
                "provider_message_id",
                json!(null),
                "/provider_message_id: is required",
            ),
            (
                "provider_message_id",
                json!("secret\n"),
                "/provider_message_id: a provider",
            ),
        ];
        for (field, value, told) in cases {
            let mut line = sms();
            line[field] = value;
            let problems = problems(&line.to_string());
            assert!(problems.contains(told), "{told} is not in: {problems}");
            assert!(!problems.to_lowercase().contains("secret"), "{problems}");
        }
        let everything = problems("{\"channel\": \"sms\"}");
        for field in ["/direction", "/provider_message_id", "/from", "/to", "/body"] {
            assert!(everything.contains(field), "{everything}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_without_its_words() {
        for (line, told) in [
            ("secret", "is no JSON object"),
            ("[\"inbound\",\"secret\"]", "is no JSON object"),
            ("{\"secret\"", "is not valid JSON, at column 9"),
            ("{} secret", "is not valid JSON"),
            ("{\"body\":\"secret\",\"body\":\"secret\"}", "twice"),
            ("{\"body\":\"\\ud800\"}", "is not valid JSON"),
        ] {
            let problems = problems(line);
            assert!(problems.contains(told), "{told} is not in: {problems}");
            assert!(!problems.contains("secret"), "{problems}");
        }
        assert_eq!(
            Past::read(b"{\"body\":\"\xff\"}", &RULES).err().unwrap(),
            ["is not UTF-8"]
        );
        let deep = format!("{{\"unknown\":{}", "[".repeat(200_000));
        assert!(problems(&deep).contains("is not valid JSON"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        #[test]
        fn a_line_is_kept_whole_or_nothing_of_it_is_told(
            changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 0..3),
        ) {
            let mut line = sms().to_string().into_bytes();
            for (at, byte, kind) in changes {
                let at = at.index(line.len());
                match kind {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    2 => drop(line.remove(at)),
                    _ => line.truncate(at.max(1)),
                }
            }
            match Past::read(&line, &RULES) {
                Ok(past) => {
                    prop_assert_eq!(past.payload.as_bytes(), &line);
                    let said: Value = serde_json::from_slice(&line).unwrap();
                    prop_assert_eq!(said["body"].as_str(), Some(past.content.body.as_str()));
                    prop_assert_eq!(said["provider_message_id"].as_str(), Some(past.provider_message_id.as_str()));
                }
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    let told = problems.join("; ");
                    prop_assert!(!["secret", "201555", "804555"].iter().any(|word| told.contains(word)), "{told}");
                }
            }
        }
    }
}
