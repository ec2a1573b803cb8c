use std::collections::BTreeMap;

use domain::Timestamp;
use serde_json::json;

use crate::world::Conversation;

/// Past messages, and the pairs of people they are between.
pub(super) const MESSAGES: usize = 10_000;
pub(super) const PAIRS: usize = 1_000;

pub(super) const US: &str = "+18045551234";

/// The customer of a pair, as participants are written.
pub(super) fn customer(pair: usize) -> String {
    format!("+1201555{pair:04}")
}

/// The line of the message with this number: both directions, in another order than they were written.
pub(super) fn line(number: usize) -> String {
    let customer = customer(number % PAIRS);
    let (direction, from, to) = if (number / PAIRS).is_multiple_of(2) {
        (
            "inbound",
            customer.replacen("+1201", "+1 (201) ", 1),
            US.to_owned(),
        )
    } else {
        ("outbound", US.to_owned(), customer)
    };
    let line = json!({
        "direction": direction, "channel": "sms", "from": from, "to": to, "body": format!("past {number}"),
        "timestamp": timestamp(number).to_string(), "provider_message_id": format!("past-{number}"),
    });
    format!("{line}\n")
}

pub(super) fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(line).collect()
}

/// When a message was written.
pub(super) fn timestamp(number: usize) -> Timestamp {
    let origin = Timestamp::parse("2024-01-01T00:00:00Z").unwrap();
    origin.saturating_add(std::time::Duration::from_secs((number * 7_919 % MESSAGES) as u64))
}

/// These conversations hold exactly the messages with these numbers, and nothing else.
pub(super) fn check(conversations: &[Conversation], numbers: impl IntoIterator<Item = usize>) {
    let mut expected: BTreeMap<[String; 3], (usize, i64)> = BTreeMap::new();
    for number in numbers {
        let parties = ["sms".to_owned(), customer(number % PAIRS), US.to_owned()];
        let (count, last) = expected.entry(parties).or_insert((0, i64::MIN));
        *count += 1;
        *last = (*last).max(timestamp(number).as_micros());
    }
    let found: BTreeMap<[String; 3], (usize, i64)> = conversations
        .iter()
        .map(|found| (found.parties.clone(), (found.message_count, found.last_activity)))
        .collect();
    assert_eq!(found.len(), conversations.len());
    assert!(
        found == expected,
        "{} conversations, {} expected",
        found.len(),
        expected.len()
    );
}
