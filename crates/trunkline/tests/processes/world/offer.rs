use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Answer, Client, NoAnswer, text},
    contents::Id,
};

/// Few, so that clients share conversations.
const PAIRS: usize = 12;

/// A message of a client, with a unique body.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) channel: &'static str,
    pub(crate) inbound: bool,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: String,
    /// The idempotency key, or the provider's id of an inbound message: with one, the request can be repeated.
    pub(crate) key: Option<String>,
    /// Id and conversation of the first 202.
    pub(crate) accepted: Option<(Id, String)>,
    /// Whether it may be stored: an answer was 202, unknown or missing.
    pub(crate) may_be_stored: bool,
    /// Wrong answers.
    pub(crate) surprises: Vec<String>,
    /// Whether a provider brings it by webhook; other inbound messages are injected into the simulator.
    by_webhook: bool,
}

impl Offer {
    /// The `number`-th message of a client: every channel, both directions, with key and without, now and in the past.
    pub(crate) fn new(client: &str, number: usize) -> Self {
        let channel = ["sms", "sms", "mms", "email", "sms"][number % 5];
        let inbound = number % 7 == 3;
        let pair = (number * 5 + client.len()) % PAIRS;
        let (mut from, mut to) = match channel {
            "email" => (
                format!("desk{pair}@example.org"),
                format!("guest{pair}@example.com"),
            ),
            _ => (format!("+1201666{pair:04}"), format!("+1804555{pair:04}")),
        };
        if number % 4 == 1 {
            std::mem::swap(&mut from, &mut to);
        }
        let key = (inbound || number.is_multiple_of(2)).then(|| format!("key-{client}-{number}"));
        Self {
            channel,
            inbound,
            from,
            to,
            body: format!("message {number} of {client}"),
            key,
            accepted: None,
            may_be_stored: false,
            surprises: Vec::new(),
            by_webhook: number.is_multiple_of(2),
        }
    }

    /// Sends it once. Keeps the first 202.
    pub(crate) async fn make(&mut self, client: &Client, url: &str) -> Result<Answer, NoAnswer> {
        let url = format!("{url}{}", self.path());
        let header = self.key.as_deref().filter(|_| !self.inbound);
        let headers: Vec<(&str, &str)> = header.map(|key| ("idempotency-key", key)).into_iter().collect();
        let answer = client
            .ask(Method::POST, &url, &headers, Some(&self.request()))
            .await
            .inspect_err(|error| self.may_be_stored |= !matches!(error, NoAnswer::NotConnected(_)))?;
        self.hear(&answer);
        Ok(answer)
    }

    fn hear(&mut self, answer: &Answer) {
        match answer.status {
            202 => {
                self.may_be_stored = true;
                let json = answer.json();
                let accepted = (Id::of(&text(&json["id"])), text(&json["conversation_id"]));
                let first = self.accepted.get_or_insert_with(|| accepted.clone());
                if *first != accepted {
                    self.surprises.push(format!("another id: {accepted:?}"));
                }
            }
            // This node has no provider for the channel; another may.
            500 if answer.code() == "no_provider" => {}
            503 => {
                self.may_be_stored |= answer.code() == "outcome_unknown";
                if answer.header("retry-after").is_none() {
                    self.surprises
                        .push("a 503 that does not say when to come back".to_owned());
                }
            }
            status => self.surprises.push(format!("{status} {}", answer.code())),
        }
    }

    fn path(&self) -> &'static str {
        match (self.inbound, self.by_webhook, self.channel) {
            (false, ..) => "/api/messages",
            (true, false, _) => "/api/provider/mock/inbound",
            (true, true, "email") => "/api/webhooks/email",
            (true, true, _) => "/api/webhooks/sms",
        }
    }

    fn request(&self) -> Value {
        let mut request = json!({"from": self.from, "to": self.to, "body": self.body});
        match self.path() {
            "/api/webhooks/sms" => {
                request["type"] = json!(self.channel);
                request["messaging_provider_id"] = json!(self.key);
            }
            "/api/webhooks/email" => request["xillio_id"] = json!(self.key),
            _ => request["channel"] = json!(self.channel),
        }
        if self.inbound && !self.by_webhook {
            request["provider_message_id"] = json!(self.key);
        }
        if self.channel == "mms" {
            request["attachments"] = json!(["https://example.org/picture.png"]);
        }
        if self.body.len().is_multiple_of(2) {
            request["timestamp"] = json!(format!("2026-01-01T00:{:02}:00Z", self.body.len()));
        }
        request
    }
}
