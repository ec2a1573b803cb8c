//! What all requests that wait share: a bound on their number, and their parameters.

use std::{sync::Arc, time::Duration};

use axum::{http::Extensions, response::Response};
use domain::{Status, TOTAL_COUNTED_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::listing::{ListingParameters, invalid};
use crate::problem::Problem;

/// Requests that wait at the same time. Together with the streams they leave connections for all other requests.
const WAITS_MAX: usize = 2_048;
/// Event streams at the same time.
const STREAMS_MAX: usize = 1_024;
/// The longest wait of a request, in milliseconds.
const WAIT_MS_MAX: u32 = 30_000;

#[derive(Debug)]
pub(crate) struct WaitPlaces {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// A place among the requests or streams, until it is dropped.
pub(super) type WaitPlace = OwnedSemaphorePermit;

impl Default for WaitPlaces {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(WAITS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

impl WaitPlaces {
    pub(super) fn request(&self) -> Result<WaitPlace, Problem> {
        take(&self.requests)
    }

    pub(super) fn stream(&self) -> Result<WaitPlace, Problem> {
        take(&self.streams)
    }
}

fn take(places: &Arc<Semaphore>) -> Result<WaitPlace, Problem> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Problem::too_many_waits())
}

/// Marks an answer that waited because the client asked for it: its time says nothing about the node.
#[derive(Clone)]
pub(crate) struct WaitedOnDemand;

/// Marks the answer.
pub(super) fn on_demand(mut response: Response) -> Response {
    response.extensions_mut().insert(WaitedOnDemand);
    response
}

pub(crate) fn is_on_demand(extensions: &Extensions) -> bool {
    extensions.get::<WaitedOnDemand>().is_some()
}

/// The time to wait; `None` if the request does not wait.
pub(super) fn wait(parameters: &ListingParameters) -> Result<Option<Duration>, Problem> {
    match parameters.number("wait_ms")? {
        Some(milliseconds) if milliseconds > WAIT_MS_MAX => {
            Err(invalid("wait_ms", format!("use {WAIT_MS_MAX} at most")))
        }
        milliseconds => Ok(milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.into()))),
    }
}

/// Refuses a parameter that means nothing without `wait_ms`.
pub(super) fn only_with_wait(parameters: &ListingParameters, name: &str) -> Result<(), Problem> {
    match (parameters.given(name), parameters.given("wait_ms")) {
        (Some(_), None) => Err(invalid(name, "is for waiting: add wait_ms, or leave it out")),
        _ => Ok(()),
    }
}

/// The number of messages to wait for, at least one.
pub(super) fn count(parameters: &ListingParameters) -> Result<u64, Problem> {
    let count = parameters.number("count")?.map_or(1, u64::from);
    if (1..=TOTAL_COUNTED_MAX).contains(&count) {
        Ok(count)
    } else {
        Err(invalid("count", format!("use 1 to {TOTAL_COUNTED_MAX}")))
    }
}

/// The statuses to wait for: words and `final`, separated by commas. Without any, the final ones.
pub(super) fn until(parameters: &ListingParameters) -> Result<Vec<Status>, Problem> {
    let is_final = || Status::ALL.iter().copied().filter(|status| status.is_final());
    let mut until = Vec::new();
    for word in parameters.given("until").unwrap_or(FINAL).split(',') {
        match word.trim() {
            FINAL => until.extend(is_final()),
            word => until.push(word.parse().map_err(|error: domain::UnknownWord| {
                invalid("until", format!("{error}, {FINAL}; separate several by commas"))
            })?),
        }
    }
    Ok(until)
}

/// All statuses that are final.
const FINAL: &str = "final";
