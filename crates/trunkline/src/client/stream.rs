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
}

impl EventStream {
    pub(super) fn new(url: String, body: Incoming) -> Self {
        Self {
            url,
            body,
            parser: Parser::default(),
        }
    }

    /// The next event, as `GET /api/events` shows it. The future may be dropped: nothing is lost.
    ///
    /// # Errors
    /// When the stream has ended or is silent.
    pub(crate) async fn next(&mut self) -> Result<Value, Unanswered> {
        loop {
            if let Some(event) = self.parser.events.pop_front() {
                return Ok(event);
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

    /// Where the stream began: the id that it sent before its first event.
    pub(crate) fn start(&self) -> Option<String> {
        self.parser.start.clone()
    }

    fn lost(&self, reason: String) -> Unanswered {
        let url = self.url.clone();
        Unanswered::Lost { url, reason }
    }
}

/// Finds events in a stream of bytes. Of an event only its `data` lines count: they have its id and type.
#[derive(Default)]
struct Parser {
    /// The unfinished last line.
    line: Vec<u8>,
    data: String,
    /// The first id without an event.
    start: Option<String>,
    id: Option<String>,
    events: VecDeque<Value>,
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
            if data.is_empty() {
                self.start = self.start.take().or(id);
                return Ok(());
            }
            let event = serde_json::from_str(&data);
            self.events
                .push_back(event.map_err(|error| format!("an event is no JSON: {error}"))?);
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
            let expected = [json!({"id": "1", "body": "é"}), json!({"id": "2"})];
            assert_eq!(parser.events, expected, "chunks of {length}");
            assert_eq!(parser.start.as_deref(), Some("0000000000000000"));
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
