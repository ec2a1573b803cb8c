//! The stream of events (`text/event-stream`).

use std::{collections::VecDeque, mem, time::Duration};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::Unanswered;

/// How long a stream may be silent. The service sends a heartbeat every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Bytes of one event. Those of the service are smaller than 1 KiB.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Events as they happen.
pub(crate) struct EventStream {
    url: String,
    body: Incoming,
    parser: Parser,
    place: Option<String>,
}

impl EventStream {
    pub(super) fn new(url: String, body: Incoming) -> Self {
        Self {
            url,
            body,
            parser: Parser::default(),
            place: None,
        }
    }

    /// The next event, as `GET /api/events` shows it. The future may be dropped: nothing is lost.
    ///
    /// # Errors
    /// When the stream has ended or is silent.
    pub(crate) async fn next(&mut self) -> Result<Value, Unanswered> {
        loop {
            if let Some((id, event)) = self.parser.found.pop_front() {
                self.place = id.or(self.place.take());
                match event {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame())
                .await
                .map_err(|_| self.lost(format!("the stream is silent for {SILENCE_MAX:?}")))?;
            let frame = frame
                .ok_or_else(|| self.lost("the stream has ended".to_owned()))?
                .map_err(|error| self.lost(error.to_string()))?;
            if let Ok(bytes) = frame.into_data() {
                self.parser.take(&bytes).map_err(|reason| self.lost(reason))?;
            }
        }
    }

    /// The place in the log of the last event, or a later one: events without a wanted type may follow it. `None` until the
    /// service has named one.
    pub(crate) fn place(&self) -> Option<String> {
        self.place.clone()
    }

    fn lost(&self, reason: String) -> Unanswered {
        let url = self.url.clone();
        Unanswered::Lost { url, reason }
    }
}

/// Finds ids and events in a stream of bytes.
#[derive(Default)]
struct Parser {
    /// The unfinished last line.
    line: Vec<u8>,
    data: String,
    id: Option<String>,
    /// An id without an event says how far the log is.
    found: VecDeque<(Option<String>, Option<Value>)>,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = mem::take(&mut self.line);
            self.line_ends(&String::from_utf8_lossy(&line))?;
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(format!("an event is longer than {EVENT_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    fn line_ends(&mut self, line: &str) -> Result<(), String> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        } else if let Some(id) = line.strip_prefix("id:") {
            self.id = Some(id.trim().to_owned());
        } else if line.is_empty() {
            let (id, data) = (self.id.take(), mem::take(&mut self.data));
            let event = Some(&data)
                .filter(|data| !data.is_empty())
                .map(|data| serde_json::from_str(data));
            let event = event
                .transpose()
                .map_err(|error| format!("an event is no JSON: {error}"))?;
            if id.is_some() || event.is_some() {
                self.found.push_back((id, event));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: &str = ":\n\nid: 0000000000000000\n\nid: 0000000000000001\nevent: message.accepted\ndata: {\"id\": \"1\",\ndata: \"body\": \"é\"}\n\n\
                          : heartbeat\n\r\nevent: x\n\ndata:{\"id\": \"2\"}\r\n\r\ndata: {\"id\": \"unfinished\"}\n";

    #[test]
    fn events_are_found_wherever_the_bytes_are_cut() {
        for length in 1..=STREAM.len() {
            let mut parser = Parser::default();
            for chunk in STREAM.as_bytes().chunks(length) {
                parser.take(chunk).unwrap();
            }
            let id = |text: &str| Some(text.to_owned());
            let expected = [
                (id("0000000000000000"), None),
                (id("0000000000000001"), Some(json!({"id": "1", "body": "é"}))),
                (None, Some(json!({"id": "2"}))),
            ];
            assert_eq!(parser.found, expected, "chunks of {length}");
        }
    }

    #[test]
    fn an_endless_event_and_another_format_are_refused() {
        assert!(Parser::default().take(b"data: <h1>\n\n").is_err());
        let mut parser = Parser::default();
        let line = [
            b"data: ".to_vec(),
            vec![b'x'; EVENT_BYTES_MAX / 4],
            b"\n".to_vec(),
        ]
        .concat();
        let refused = (0..5).find_map(|_| parser.take(&line).err());
        assert!(refused.is_some());
    }
}
