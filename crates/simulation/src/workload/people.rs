//! Who writes to whom, and what.

use domain::{
    Address, Attachments, Body, Channel, Content, ConversationChannel, ConversationKey, Fingerprint,
    IdempotencyKey, Participant, ProviderMessageId, ProviderName, Timestamp,
};
use engine::{Receive, Send};
use store::IdempotentRequest;

use crate::plan::{ReceivePlan, SendPlan};

/// The ways in which one person's number is written.
const NUMBERS: [[&str; 2]; 8] = [
    ["+12016661230", "+1 (201) 666-1230"],
    ["+12016661231", "+1-201-666-1231"],
    ["+12016661232", "+1.201.666.1232"],
    ["+12016661233", "+1 201 666 1233"],
    ["+12016661234", "+1(201)6661234"],
    ["+12016661235", "+12016661235"],
    ["+12016661236", "+1 2016661236"],
    ["+12016661237", "+1-201-6661237"],
];
const MAILBOXES: [[&str; 2]; 8] = [
    ["a@example.com", "A+shop@Example.com"],
    ["b@example.com", "B@example.com"],
    ["c@example.com", "c+1@example.com"],
    ["d@example.com", "D@EXAMPLE.COM"],
    ["e@example.com", "e+x@example.com"],
    ["f@example.com", "F@example.com"],
    ["g@example.com", "g@Example.com"],
    ["h@example.com", "h+y@example.com"],
];

/// What a message says: who asked for it, and what becomes of it.
pub(crate) fn body_of_send(plan: &SendPlan) -> String {
    let padding = "-".repeat(plan.padding);
    format!("s{}.{}.{padding}{}", plan.group, plan.says, plan.profile.letter())
}

/// What a webhook says.
pub(crate) fn body_of_receive(plan: &ReceivePlan) -> String {
    format!("r{}.{}.p", plan.event, plan.provider)
}

/// The key of a request, if it has one.
pub(crate) fn key_of(plan: &SendPlan) -> Option<IdempotencyKey> {
    let key = || format!("key-{}", plan.group).parse().expect("a key");
    plan.keyed.then(key)
}

/// The provider's id of an event.
fn event_id(plan: &ReceivePlan) -> ProviderMessageId {
    format!("event-{}", plan.event).parse().expect("a provider's id")
}

/// The conversation in which a message belongs, by the rules as people know them.
pub(crate) fn conversation(channel: Channel, from: usize, to: usize) -> ConversationKey {
    let (book, channel) = match channel {
        Channel::Sms | Channel::Mms => (&NUMBERS, ConversationChannel::Sms),
        Channel::Email => (&MAILBOXES, ConversationChannel::Email),
    };
    let [from, to] = [from, to].map(|person| Participant::from_stored(book[person][0]));
    ConversationKey::new(channel, from, to)
}

/// The request that a client makes. `try_number` decides how addresses are written, except under a key: then the body is the same to the letter.
pub(crate) fn to_send(plan: &SendPlan, try_number: u32, now: Timestamp) -> Send {
    let spelling = if plan.keyed { 0 } else { try_number };
    let (from, to) = addresses(plan.channel, plan.from, plan.to, spelling);
    let content = content(plan.channel, &from, &to, &body_of_send(plan));
    let request = key_of(plan).map(|key| IdempotentRequest {
        key,
        fingerprint: Fingerprint::of([Some(content.body.as_str())]),
    });
    Send {
        from,
        to,
        content,
        timestamp: written(plan.written_ms, now),
        request,
    }
}

/// The webhook that a provider delivers.
pub(crate) fn to_receive(
    plan: &ReceivePlan,
    try_number: u32,
    provider: ProviderName,
    now: Timestamp,
) -> Receive {
    let (from, to) = addresses(plan.channel, plan.from, plan.to, try_number);
    let content = content(plan.channel, &from, &to, &body_of_receive(plan));
    Receive {
        provider,
        provider_message_id: event_id(plan),
        from,
        to,
        content,
        timestamp: written(plan.written_ms, now),
        payload: "{}".into(),
    }
}

fn addresses(channel: Channel, from: usize, to: usize, spelling: u32) -> (Address, Address) {
    let book = match channel {
        Channel::Sms | Channel::Mms => &NUMBERS,
        Channel::Email => &MAILBOXES,
    };
    let read = |person: usize| {
        let text = book[person][spelling as usize % 2];
        Address::recipient(channel, text, None).expect("an address of the book")
    };
    (read(from), read(to))
}

fn content(channel: Channel, from: &Address, to: &Address, body: &str) -> Content {
    let body = Body::new(body).expect("no NUL");
    Content::new(channel, from, to, None, body, Attachments::default()).expect("a message with a body")
}

fn written(after_ms: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    Timestamp::from_micros(now.as_micros() + after_ms? * 1_000)
}
