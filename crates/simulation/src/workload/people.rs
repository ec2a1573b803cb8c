//! The address book, and the messages of its people.

use std::sync::Arc;

use domain::{
    Address, Attachments, Body, Channel, Content, ConversationChannel, ConversationKey, Fingerprint,
    IdempotencyKey, NewMessage, Participant, ProviderMessageId, Timestamp,
};
use store::IdempotentRequest;

use crate::plan::{ReceivePlan, SendPlan};

/// The ways in which a person's number is written.
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

/// The body of a message: who asked for it, and its profile.
pub(crate) fn body_of_send(plan: &SendPlan) -> String {
    let padding = "-".repeat(plan.padding);
    format!("s{}.{}.{padding}{}", plan.group, plan.says, plan.profile.letter())
}

/// The body of an inbound message. Messages with one id and other participants are other messages.
pub(crate) fn body_of_receive(plan: &ReceivePlan) -> String {
    let ReceivePlan {
        event,
        provider,
        from,
        to,
        ..
    } = plan;
    format!("r{event}.{provider}.{from}.{to}.p")
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

/// The conversation a message belongs to, by the rules as people know them.
pub(crate) fn conversation(channel: Channel, from: usize, to: usize) -> ConversationKey {
    let (book, channel) = match channel {
        Channel::Sms | Channel::Mms => (&NUMBERS, ConversationChannel::Sms),
        Channel::Email => (&MAILBOXES, ConversationChannel::Email),
    };
    let [from, to] = [from, to].map(|person| Participant::from_stored(book[person][0]));
    ConversationKey::new(channel, from, to)
}

/// A client's request. `try_number` chooses the spelling of addresses, except with a key: then the body is always the same.
pub(crate) fn to_send(
    plan: &SendPlan,
    try_number: u32,
    now: Timestamp,
) -> (NewMessage, Option<IdempotentRequest>) {
    let spelling = if plan.keyed { 0 } else { try_number };
    let body = body_of_send(plan);
    let request = key_of(plan).map(|key| IdempotentRequest {
        key,
        fingerprint: Fingerprint::of([Some(body.as_str())]),
    });
    let (from, to) = addresses(plan.channel, plan.from, plan.to, spelling);
    let written = written(plan.written_ms, now);
    let mut message = message(plan.channel, from, to, &body, written);
    if let Some(after) = plan.send_after {
        message.schedule.send_at = Some(now.saturating_add(after));
        message.timestamp = message.schedule.send_at;
    }
    (message, request)
}

/// The message a provider delivers, and the provider's id for it.
pub(crate) fn to_receive(
    plan: &ReceivePlan,
    try_number: u32,
    now: Timestamp,
) -> (NewMessage, ProviderMessageId) {
    let (from, to) = addresses(plan.channel, plan.from, plan.to, try_number);
    let written = written(plan.written_ms, now);
    let message = message(plan.channel, from, to, &body_of_receive(plan), written);
    (message, event_id(plan))
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

fn message(
    channel: Channel,
    from: Address,
    to: Address,
    body: &str,
    timestamp: Option<Timestamp>,
) -> NewMessage {
    let content = Content {
        channel,
        from: from.given,
        to: to.given,
        subject: None,
        body: Body::new(body).expect("no NUL"),
        attachments: Attachments::default(),
        metadata: domain::Metadata::default(),
    };
    NewMessage {
        from: from.participant,
        to: to.participant,
        content: Arc::new(content),
        timestamp,
        schedule: domain::Schedule::default(),
    }
}

fn written(after_ms: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    Timestamp::from_micros(now.as_micros() + after_ms? * 1_000)
}
