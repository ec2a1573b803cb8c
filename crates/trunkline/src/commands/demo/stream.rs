use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    client::{Api, EventStream, Followed},
    terminal::harmless,
};

/// Pause before a lost stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Events that are shown.
const SHOWN: usize = 4;

/// An event of the service.
#[derive(Debug)]
pub(super) struct Seen {
    kind: String,
    conversation: String,
}

/// What the stream has brought.
#[derive(Debug, Default)]
pub(super) struct SeenEvents {
    /// Numbers by type.
    pub(super) counts: BTreeMap<String, u64>,
    latest: Vec<String>,
}

impl SeenEvents {
    pub(super) fn add(&mut self, seen: Seen) {
        let Seen { kind, conversation } = seen;
        if self.latest.len() == SHOWN {
            self.latest.remove(0);
        }
        self.latest
            .push(format!("{kind:<21} conversation {conversation}"));
        *self.counts.entry(kind).or_default() += 1;
    }

    /// The latest, each on a line.
    pub(super) fn latest(&self) -> String {
        let line = |event: &String| format!("  {event}\n");
        self.latest.iter().map(line).collect()
    }
}

/// Reports the events of the service until it is dropped. A stream that is lost is opened again where it ended.
pub(super) async fn follow(api: Arc<Api>, mut stream: EventStream, tell: UnboundedSender<Seen>) {
    loop {
        while let Ok(event) = stream.next().await {
            let text = |value: &serde_json::Value| harmless(value.as_str().unwrap_or_default());
            let seen = Seen {
                kind: text(&event["type"]),
                conversation: text(&event["data"]["conversation_id"]),
            };
            if tell.send(seen).is_err() {
                return;
            }
        }
        let place = stream.place();
        stream = loop {
            tokio::time::sleep(PAUSE).await;
            if let Ok(Followed::Stream(again)) = api.follow(place.as_deref(), &[]).await {
                break again;
            }
        };
    }
}
