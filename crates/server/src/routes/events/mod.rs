//! `/api/events`: the event log, read page by page or followed as a stream.

pub(crate) mod stream;
pub(crate) mod view;

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{Event, EventId, EventType};
use serde::Serialize;
use store::EventsRead;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    listing::{ListingParameters, invalid},
    waiting,
};
use crate::{
    App,
    extract::AppState,
    openapi::{problems::EventErrors, schemas},
    problem::Problem,
};
use view::EventView;

/// Events on a page if the request does not say.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;
/// Events that a page reads to find those of the types it is asked for.
const SCANNED_MAX: u32 = 10_000;

/// A page of the event log.
#[derive(Serialize, ToSchema)]
struct EventPage {
    items: Vec<EventView>,
    meta: EventPageMeta,
}

/// The place of a page in the event log.
#[derive(Serialize, ToSchema)]
struct EventPageMeta {
    /// Send it as `after` to get what follows. It is there also on an empty page.
    #[schema(value_type = schemas::EventId)]
    next_cursor: EventId,
}

/// Where a page begins.
enum After {
    Oldest,
    Event(EventId),
}

/// Read events
///
/// Oldest first, in an order that all readers see and that never changes. A page with a `type` reads at most 10,000 events, so
/// it may be empty although more follow its `next_cursor`. With `wait_ms` the answer comes once there is an event, or when the
/// time is over. Events are kept for `API_EVENTS_RETENTION_SECS`.
#[utoipa::path(
    get, path = "/api/events", operation_id = "listEvents", tag = "Events",
    params(
        (
            "after" = Option<String>, Query, min_length = 1, example = "0000000000000042",
            description = "The `next_cursor` of the page before, or the id of an event. Without it, or with `oldest`, the page \
                begins with the oldest event that is kept.",
        ),
        ("type" = Option<schemas::EventTypes>, Query),
        ("limit" = Option<schemas::Count>, Query, description = "Events on the page: 0 means 100, more than 1,000 means 1,000."),
        ("wait_ms" = Option<schemas::WaitMs>, Query),
    ),
    responses((status = 200, body = EventPage, description = "A page of events."), EventErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let types = types(&parameters)?;
    let limit = match parameters.number("limit")? {
        None | Some(0) => LIMIT_DEFAULT,
        Some(limit) => limit.min(LIMIT_MAX),
    };
    let after = match parameters.given("after") {
        None | Some("oldest") => After::Oldest,
        Some(_) => After::Event(cursor(&parameters)?.unwrap_or_default()),
    };
    let wait = waiting::wait(&parameters)?;
    let mut scan = Scan {
        app: &app,
        types,
        limit,
        cursor: EventId::START,
        found: Vec::new(),
        left: SCANNED_MAX,
    };
    scan.begin(after).await?;
    if let Some(within) = wait {
        let place = app.waits().request()?;
        scan.wait(within).await?;
        drop(place);
    }
    let page = EventPage {
        items: scan.found.into_iter().map(EventView::from).collect(),
        meta: EventPageMeta {
            next_cursor: scan.cursor,
        },
    };
    let answer = Json(page).into_response();
    Ok(if wait.is_some() {
        waiting::on_demand(answer)
    } else {
        answer
    })
}

/// A walk through the log for one page.
struct Scan<'a> {
    app: &'a App,
    /// Empty for all.
    types: Vec<EventType>,
    limit: u32,
    cursor: EventId,
    found: Vec<Event>,
    /// Events that it may still read.
    left: u32,
}

impl Scan<'_> {
    async fn begin(&mut self, after: After) -> Result<(), Problem> {
        if let After::Event(id) = after {
            self.cursor = id;
        } else if let EventsRead::Expired { start } =
            self.app.engine().events().read(EventId::START, 1).await?
        {
            self.cursor = start;
        }
        // All events of requests that were answered before this one.
        self.read(true).await
    }

    /// Reads until the page is full or there are no more events for now.
    async fn read(&mut self, now: bool) -> Result<(), Problem> {
        let log = self.app.engine().events();
        while !self.is_full() {
            // Of some types, few events may match.
            let limit = if self.types.is_empty() {
                self.missing()
            } else {
                self.left.min(LIMIT_MAX)
            };
            let read = if now {
                log.read_now(self.cursor, limit).await?
            } else {
                log.read(self.cursor, limit).await?
            };
            let events = match read {
                EventsRead::Events(events) => events,
                EventsRead::Expired { start } => return Err(Problem::events_expired(start)),
            };
            let is_end = events.is_empty() || (now && events.len() < limit as usize);
            for event in events {
                self.cursor = event.id;
                self.left = self.left.saturating_sub(1);
                if wanted(&self.types, &event) {
                    self.found.push(event);
                }
                if self.is_full() {
                    return Ok(());
                }
            }
            if is_end {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn wait(&mut self, within: Duration) -> Result<(), Problem> {
        let reading = async {
            let following = self.app.engine().events().follow();
            while self.found.is_empty() && !self.is_full() && following.beyond(self.cursor).await {
                self.read(false).await?;
            }
            Ok(())
        };
        // What is read by then is shown.
        timeout(within, reading).await.unwrap_or(Ok(()))
    }

    /// How many more events fit on the page.
    fn missing(&self) -> u32 {
        let found = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
        self.limit.saturating_sub(found)
    }

    fn is_full(&self) -> bool {
        self.missing() == 0 || self.left == 0
    }
}

fn wanted(types: &[EventType], event: &Event) -> bool {
    types.is_empty() || types.contains(&event.kind)
}

/// The types of a filter, separated by commas; empty for all.
fn types(parameters: &ListingParameters) -> Result<Vec<EventType>, Problem> {
    let words = parameters
        .given("type")
        .into_iter()
        .flat_map(|words| words.split(','));
    let types = words.map(|word| word.trim().parse());
    types
        .collect::<Result<_, _>>()
        .map_err(|error: domain::UnknownWord| invalid("type", format!("{error}; separate several by commas")))
}

/// The place of `after`.
fn cursor(parameters: &ListingParameters) -> Result<Option<EventId>, Problem> {
    let id = parameters
        .given("after")
        .map(|text| text.parse().map_err(|_| not_a_cursor("after")));
    id.transpose()
}

fn not_a_cursor(pointer: &str) -> Problem {
    invalid(pointer, "use the id of an event or a next_cursor, unchanged")
}
