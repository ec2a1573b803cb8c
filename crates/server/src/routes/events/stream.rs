use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::{Event, EventId, EventType};
use futures_util::{FutureExt, stream};
use store::EventsRead;
use tokio::{
    sync::watch,
    time::{Interval, interval, sleep},
};

use super::{cursor, not_a_cursor, types, view::EventView, wanted};
use crate::{
    App,
    extract::AppState,
    openapi::{problems::StreamErrors, schemas},
    problem::Problem,
    routes::{listing::ListingParameters, waiting::WaitPlace},
};

pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// The header of a client that resumes.
const LAST_EVENT_ID: &str = "last-event-id";
/// How often a quiet stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events written at once. They are the only ones that a stream keeps in memory: a slow reader gets the rest from the store.
const CHUNK_EVENTS_MAX: u32 = 100;
/// How long a stream leaves a failing store alone.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// Follow events
///
/// Server-sent events: each has `id:`, `event:` (its type) and `data:` (the event as `GET /api/events` shows it). A comment comes
/// every 15 seconds. A client that reconnects sends `Last-Event-ID`, which wins over `after`, and misses nothing. Without either
/// the stream begins with the next event. It ends when the node shuts down: connect again.
#[utoipa::path(
    get, path = "/api/events/stream", operation_id = "streamEvents", tag = "Events",
    params(
        (
            "Last-Event-ID" = Option<schemas::EventId>, Header,
            description = "The id of the last event that the client has.",
        ),
        ("after" = Option<schemas::EventId>, Query),
        ("type" = Option<schemas::EventTypes>, Query),
    ),
    responses(
        (
            status = 200, body = String, content_type = "text/event-stream", description = "Events, until either side ends it.",
            example = "id: 0000000000000042\nevent: message.delivered\ndata: {\"id\":\"0000000000000042\",\"type\":\"message.delivered\",\"at\":\"2026-11-21T10:00:05Z\",\"data\":{\"message_id\":\"01a1fc5f-8b3e-7c61-9d0a-4f2b6c8e1a35\",\"conversation_id\":\"1\"}}\n\n",
        ),
        StreamErrors,
    ),
)]
pub(crate) async fn stream(
    State(app): AppState,
    headers: HeaderMap,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let types = types(&parameters)?;
    let after = match headers.get(LAST_EVENT_ID) {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| not_a_cursor("Last-Event-ID"))?)
        }
        None => cursor(&parameters)?,
    };
    if *app.0.draining.borrow() {
        return Err(Problem::draining());
    }
    let place = app.waits().stream()?;
    let cursor = match after {
        Some(after) => {
            if let EventsRead::Expired { start } = app.engine().events().read(after, 1).await? {
                return Err(Problem::events_expired(start));
            }
            after
        }
        None => app.engine().events().end().await?,
    };
    app.0.metrics.event_streams.inc();
    let events = EventStream {
        cursor,
        shown: after,
        types,
        heartbeat: interval(HEARTBEAT),
        draining: app.0.draining.clone(),
        app,
        _place: place,
    };
    let chunks = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let headers = [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (headers, Body::from_stream(chunks)).into_response();
    // Some proxies keep an answer until it is complete.
    let unbuffered = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", unbuffered);
    Ok(response)
}

/// An open stream.
struct EventStream {
    /// All events up to here are written, or are of other types.
    cursor: EventId,
    /// The last id that the client has seen; `None` while it does not know where the stream began.
    shown: Option<EventId>,
    types: Vec<EventType>,
    heartbeat: Interval,
    draining: watch::Receiver<bool>,
    app: App,
    _place: WaitPlace,
}

impl EventStream {
    /// What to write next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if *self.draining.borrow() {
                return None;
            }
            match self
                .app
                .engine()
                .events()
                .read(self.cursor, CHUNK_EVENTS_MAX)
                .await
            {
                Ok(EventsRead::Events(events)) if !events.is_empty() => {
                    self.cursor = events.last().map_or(self.cursor, |last| last.id);
                    if let Some(chunk) = self.written(events) {
                        self.heartbeat.reset();
                        return Some(chunk);
                    }
                    // The log may go on and on without an event for this client.
                    if self.heartbeat.tick().now_or_never().is_some() {
                        return Some(self.heartbeat());
                    }
                    continue;
                }
                Ok(EventsRead::Events(_)) => {}
                // The client gets 410 when it connects again.
                Ok(EventsRead::Expired { .. }) => return None,
                Err(error) => {
                    tracing::debug!(%error, "a stream cannot read events: it tries again");
                    sleep(FAILURE_PAUSE).await;
                }
            }
            let is_quiet = tokio::select! {
                biased;
                _ = self.draining.wait_for(|draining| *draining) => return None,
                more = self.app.engine().events().beyond(self.cursor) => {
                    if !more {
                        return None;
                    }
                    false
                }
                _ = self.heartbeat.tick() => true,
            };
            if is_quiet {
                return Some(self.heartbeat());
            }
        }
    }

    fn written(&mut self, events: Vec<Event>) -> Option<Bytes> {
        let mut text = String::new();
        for event in events.into_iter().filter(|event| wanted(&self.types, event)) {
            let (id, kind) = (event.id, event.kind);
            let data = match serde_json::to_string(&EventView::from(event)) {
                Ok(data) => data,
                Err(error) => {
                    Problem::bug(&error);
                    return None;
                }
            };
            text.push_str(&format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"));
            self.shown = Some(id);
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// An id without data tells a client where the stream began, and moves it on past the events that its filter leaves out.
    fn heartbeat(&mut self) -> Bytes {
        if self.shown == Some(self.cursor) {
            return Bytes::from_static(b":\n\n");
        }
        self.shown = Some(self.cursor);
        format!(":\nid: {}\n\n", self.cursor).into()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.app.0.metrics.event_streams.dec();
    }
}
