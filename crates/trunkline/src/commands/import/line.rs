use domain::{
    Channel, Direction, Draft, DraftRules, FieldError, MessageId, Origin, ProviderMessageId, ProviderName,
    Timestamp,
};
use serde::Deserialize;
use server::lenient;
use store::Import;

#[derive(Deserialize)]
struct ImportLine {
    direction: Option<String>,
    channel: Option<String>,
    r#type: Option<String>,
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    to: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient::timestamp")]
    timestamp: Option<Timestamp>,
    provider: Option<String>,
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    provider_message_id: Option<String>,
}

/// Reads the message on a line.
///
/// # Errors
/// What is wrong with the line, without a word of the message.
pub(super) fn read(
    line: &[u8],
    rules: &DraftRules,
    default_provider: impl Fn(Channel) -> Option<ProviderName>,
    id: MessageId,
    processed_at: Timestamp,
) -> Result<Import, Vec<String>> {
    let text = std::str::from_utf8(line).map_err(|_| vec!["is not UTF-8".to_owned()])?;
    let line = parse(text).map_err(|problem| vec![problem])?;
    let mut errors = Vec::new();
    let direction = valid(direction(line.direction.as_deref()), &mut errors);
    let origin = Origin::Provider;
    let channel = origin.channel(Channel::ALL, line.channel.as_deref(), line.r#type.as_deref());
    let channel = valid(channel, &mut errors);
    let provider_message_id = valid(provider_message_id(line.provider_message_id), &mut errors);
    let message = channel.and_then(|channel| {
        let draft = Draft {
            origin,
            channel,
            from: line.from,
            to: line.to,
            subject: line.subject,
            body: line.body,
            attachments: line.attachments,
            timestamp: line.timestamp,
            send_at: None,
            expires_at: None,
            metadata: None,
        };
        let checked = draft.check(rules, processed_at);
        checked.map_err(|found| errors.extend(found)).ok()
    });
    // As on the inbound routes, where an SMS with attachments counts as an MMS.
    let channel = message
        .as_ref()
        .map(|message| message.content.channel)
        .or(channel);
    let provider =
        channel.and_then(|channel| valid(provider(line.provider, channel, default_provider), &mut errors));
    let (Some(direction), Some(message), Some(provider), Some(provider_message_id)) =
        (direction, message, provider, provider_message_id)
    else {
        let shown = |error: FieldError| format!("{}: {}", error.pointer, error.detail);
        return Err(errors.into_iter().map(shown).collect());
    };
    Ok(Import {
        id,
        direction,
        message,
        processed_at,
        provider,
        provider_message_id,
        payload: text.into(),
    })
}

/// The provider that the line names, or else the first that serves the channel.
fn provider(
    name: Option<String>,
    channel: Channel,
    default_provider: impl Fn(Channel) -> Option<ProviderName>,
) -> Result<ProviderName, FieldError> {
    let error = |detail: String| FieldError::new("/provider", detail);
    match name {
        Some(name) => name
            .parse()
            .map_err(|wrong: domain::InvalidId| error(wrong.to_string())),
        None => default_provider(channel)
            .ok_or_else(|| error(format!("is required: no configured provider serves {channel}"))),
    }
}

/// The parser's messages quote the line, so only the place is taken from them.
fn parse(text: &str) -> Result<ImportLine, String> {
    // The parser also takes an array of the fields in the order of their declaration.
    if !text.starts_with('{') {
        return Err("is not a JSON object".to_owned());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let invalid = |error: &serde_json::Error| format!("is not valid JSON, at column {}", error.column());
    let parsed: ImportLine = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match (error.is_data(), path.as_str()) {
            (false, _) => invalid(&error),
            (true, ".") => "has a field twice".to_owned(),
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
    // As on the inbound routes, so that both know the same message.
    id.trim_matches(['\r', '\n'])
        .parse()
        .map_err(|error| FieldError::new("/provider_message_id", error))
}

fn valid<T>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

#[cfg(test)]
mod tests {
    use domain::Entropy;
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

    /// Reads a line where `primary` serves SMS and nothing serves the other channels.
    fn read(line: &[u8]) -> Result<Import, Vec<String>> {
        let default_provider = |channel| (channel == Channel::Sms).then(|| "primary".parse().unwrap());
        let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        super::read(
            line,
            &RULES,
            default_provider,
            MessageId::mint(now, &Entropy::from_seed(1)),
            now,
        )
    }

    fn problems(line: &str) -> String {
        read(line.as_bytes()).expect_err("it is not valid").join("; ")
    }

    #[test]
    fn a_line_is_a_message() {
        let import = read(sms().to_string().as_bytes()).unwrap();
        assert_eq!(import.direction, Direction::Inbound);
        assert_eq!(import.provider.as_str(), "primary");
        assert_eq!(import.provider_message_id.as_str(), "m1");
        assert_eq!(*import.payload, sms().to_string());
        let mut line = sms();
        line["provider"] = json!("elsewhere");
        line["unknown"] = json!({"is": ["ignored"]});
        line["subject"] = json!("of an SMS");
        let import = read(line.to_string().as_bytes()).unwrap();
        assert_eq!(import.provider.as_str(), "elsewhere");
        assert_eq!(import.message.content.subject, None);
    }

    #[test]
    fn a_past_message_is_not_refused_for_a_formality() {
        let url = json!(["https://example.com/a.png"]);
        for (field, value) in [
            ("body", json!("")),
            ("body", json!(null)),
            ("channel", json!("SMS")),
            ("provider_message_id", json!(4711)),
            ("provider_message_id", json!("m1\r\n")),
            ("timestamp", json!(1_764_000_000)),
            ("timestamp", json!({"not": "a time"})),
            ("attachments", json!(null)),
            ("from", json!(12_015_550_123_u64)),
        ] {
            let mut line = sms();
            line[field] = value;
            assert!(read(line.to_string().as_bytes()).is_ok(), "{line}");
            line["direction"] = json!("outbound");
            line["channel"] = json!("mms");
            line["provider"] = json!("elsewhere");
            assert!(read(line.to_string().as_bytes()).is_ok(), "{line}");
            line["attachments"] = url.clone();
            assert!(read(line.to_string().as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_timestamp_that_cannot_be_believed_is_the_time_of_the_import() {
        for (timestamp, believed) in [
            ("1990-01-01T00:00:00Z", true),
            ("2026-11-21T11:00:00Z", true),
            ("1989-12-31T23:59:59.999999Z", false),
            ("0001-01-01T00:00:00Z", false),
            ("2026-11-21T11:00:00.000001Z", false),
            ("yesterday", false),
        ] {
            let mut line = sms();
            line["timestamp"] = json!(timestamp);
            let import = read(line.to_string().as_bytes()).unwrap();
            let expected = match believed {
                true => Timestamp::parse(timestamp).unwrap(),
                false => import.processed_at,
            };
            assert_eq!(import.timestamp(), expected, "{timestamp}");
        }
    }

    #[test]
    fn a_line_must_name_its_provider_if_none_serves_the_channel() {
        let mut line = sms();
        line["channel"] = json!("mms");
        let shown = problems(&line.to_string());
        assert_eq!(shown, "/provider: is required: no configured provider serves mms");
        // On the inbound route it would be an MMS, under the key of that channel's provider.
        let mut line = sms();
        line["attachments"] = json!(["https://example.com/a.png"]);
        let shown = problems(&line.to_string());
        assert_eq!(shown, "/provider: is required: no configured provider serves mms");
    }

    #[test]
    fn an_error_names_the_place_and_does_not_repeat_the_value() {
        let cases = [
            ("direction", json!(null), "/direction: is required"),
            (
                "direction",
                json!("sideways"),
                "/direction: use one of: inbound, outbound",
            ),
            ("channel", json!("fax"), "/channel: use one of: sms, mms, email"),
            (
                "type",
                json!("mms"),
                "/type: must be the channel, sms, or left out",
            ),
            (
                "from",
                json!("secret@example.com"),
                "/from: '@' (character 7) is not allowed there",
            ),
            ("to", json!(null), "/to: is required"),
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
                json!("sec\nret"),
                "/provider_message_id: a provider",
            ),
        ];
        for (field, value, shown) in cases {
            let mut line = sms();
            line[field] = value;
            let problems = problems(&line.to_string());
            assert!(problems.contains(shown), "{shown} is not in: {problems}");
            assert!(!problems.to_lowercase().contains("secret"), "{problems}");
        }
        let everything = problems("{\"channel\": \"sms\"}");
        for field in ["/direction", "/provider_message_id", "/from", "/to"] {
            assert!(everything.contains(field), "{everything}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_line_that_is_no_object() {
        for (line, shown) in [
            ("secret", "is not a JSON object"),
            ("[\"inbound\",\"secret\"]", "is not a JSON object"),
            ("{\"secret\"", "is not valid JSON, at column 9"),
            ("{} secret", "is not valid JSON"),
            ("{\"body\":\"secret\",\"body\":\"secret\"}", "a field twice"),
            ("{\"body\":\"\\ud800\"}", "is not valid JSON"),
        ] {
            let problems = problems(line);
            assert!(problems.contains(shown), "{shown} is not in: {problems}");
            assert!(!problems.contains("secret"), "{problems}");
        }
        assert_eq!(read(b"{\"body\":\"\xff\"}").unwrap_err(), ["is not UTF-8"]);
        let deep = format!("{{\"unknown\":{}", "[".repeat(200_000));
        assert!(problems(&deep).contains("is not valid JSON"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        #[test]
        fn a_line_is_imported_whole_or_not_repeated_in_the_error(
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
            match read(&line) {
                Ok(import) => {
                    prop_assert_eq!(import.payload.as_bytes(), &line);
                    let said: Value = serde_json::from_slice(&line).unwrap();
                    let body = said["body"].as_str().unwrap_or_default();
                    prop_assert_eq!(body, import.message.content.body.as_str());
                    prop_assert_eq!(said["provider_message_id"].as_str(), Some(import.provider_message_id.as_str()));
                }
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    let shown = problems.join("; ");
                    prop_assert!(!["secret", "201555", "804555"].iter().any(|word| shown.contains(word)), "{shown}");
                }
            }
        }
    }
}
