//! Events, as a reader sees them: page by page, or as a stream.

use http_body_util::BodyExt;
use hyper::{Method, body::Incoming};
use serde_json::Value;

use super::client::{Client, NoAnswer, text};

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// The message, or the endpoint.
    pub(crate) subject: String,
    /// Empty without one.
    pub(crate) conversation: String,
}

impl Event {
    /// Of an event of the log, or the body of a webhook with its id.
    pub(crate) fn of(json: &Value) -> Self {
        let data = &json["data"];
        let field = |name: &str| data[name].as_str().map(str::to_owned);
        Self {
            id: text(&json["id"]),
            kind: text(&json["type"]),
            subject: field("message_id")
                .or_else(|| field("webhook_endpoint_id"))
                .unwrap_or_default(),
            conversation: field("conversation_id").unwrap_or_default(),
        }
    }
}

/// A page of the log.
pub(crate) struct EventPage {
    pub(crate) events: Vec<Event>,
    pub(crate) next: String,
}

/// Events after a cursor, or from the oldest on. Waits up to a second for the first.
pub(crate) async fn page(
    client: &Client,
    url: &str,
    after: &str,
    limit: usize,
) -> Result<EventPage, NoAnswer> {
    let after = if after.is_empty() { "oldest" } else { after };
    let url = format!("{url}/api/events?after={after}&limit={limit}&wait_ms=1000");
    let answer = client.ask(Method::GET, &url, &[], None).await?;
    if answer.status == 503 {
        return Err(NoAnswer::CutOff(format!("{} {}", answer.status, answer.code())));
    }
    let page = answer.expect(200);
    Ok(EventPage {
        events: page["items"].as_array().unwrap().iter().map(Event::of).collect(),
        next: text(&page["meta"]["next_cursor"]),
    })
}

/// An open stream.
pub(crate) struct EventStream {
    body: Incoming,
    unread: Vec<u8>,
}

impl EventStream {
    /// Events after a cursor, or from now on.
    pub(crate) async fn open(client: &Client, url: &str, after: Option<&str>) -> Result<Self, NoAnswer> {
        let headers: Vec<(&str, &str)> = after.map(|after| ("last-event-id", after)).into_iter().collect();
        let answer = client.open(&format!("{url}/api/events/stream"), &headers).await?;
        if answer.status() == 503 {
            return Err(NoAnswer::CutOff(answer.status().to_string()));
        }
        assert_eq!(answer.status().as_u16(), 200);
        Ok(Self {
            body: answer.into_body(),
            unread: Vec::new(),
        })
    }

    /// The next event; `None` at the end of the stream. It may be dropped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name).map(str::trim))
                };
                if let Some(data) = field("data:") {
                    let event = Event::of(&serde_json::from_str(data).unwrap());
                    assert_eq!(
                        (field("id:"), field("event:")),
                        (Some(&*event.id), Some(&*event.kind))
                    );
                    return Some(event);
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread
                .extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}
