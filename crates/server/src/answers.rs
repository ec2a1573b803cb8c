//! Large answers: a bound on their bytes in memory, and pages written without a second copy.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes of large answers over all connections, from before the store reads them until they are written to their sockets.
/// Slow clients cannot hold more memory than this.
const BYTES_MAX: usize = 64 << 20;
/// How long to wait for room: requests are answered within 2 s.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// The memory for answers under way.
#[derive(Debug)]
pub(crate) struct Answers(Arc<Semaphore>);

/// A share of that memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct AnswerRoom(OwnedSemaphorePermit);

/// A body that holds its share until it is written.
struct HeldAnswer {
    json: Vec<u8>,
    _room: AnswerRoom,
}

impl Default for Answers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_MAX)))
    }
}

impl Answers {
    /// Waits up to a second for so many bytes. A request for more than `BYTES_MAX` gets all of them.
    pub(crate) async fn room(&self, bytes: usize) -> Result<AnswerRoom, Problem> {
        let permit = Arc::clone(&self.0).acquire_many_owned(permits(bytes));
        match tokio::time::timeout(ROOM_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(AnswerRoom(permit)),
            _ => Err(Problem::overloaded()),
        }
    }

    pub(crate) async fn json(&self, room: AnswerRoom, view: &impl Serialize) -> Result<Response, Problem> {
        let json = serde_json::to_vec(view).map_err(|error| Problem::bug(&error))?;
        self.hold(room, json).await
    }

    /// A page. Its items are made, written and dropped one after another.
    pub(crate) async fn page<T: Serialize>(
        &self,
        room: AnswerRoom,
        items: impl Iterator<Item = T>,
        meta: &impl Serialize,
    ) -> Result<Response, Problem> {
        let json = page(items, meta).map_err(|error| Problem::bug(&error))?;
        self.hold(room, json).await
    }

    /// Adjusts the share to the size of the answer, which holds it until it is written or its connection ends.
    async fn hold(&self, mut room: AnswerRoom, mut json: Vec<u8>) -> Result<Response, Problem> {
        json.shrink_to_fit();
        let needed = permits(json.len()) as usize;
        match needed.checked_sub(room.0.num_permits()) {
            Some(0) => {}
            Some(more) => room.0.merge(self.room(more).await?.0),
            None => drop(room.0.split(room.0.num_permits() - needed)),
        }
        let body = Bytes::from_owner(HeldAnswer { json, _room: room });
        let mut response = Response::new(Body::from(body));
        let media_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        Ok(response)
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

fn permits(bytes: usize) -> u32 {
    bytes.min(BYTES_MAX) as u32
}

fn page<T: Serialize>(items: impl Iterator<Item = T>, meta: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = b"{\"items\":[".to_vec();
    for (number, item) in items.enumerate() {
        if number > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &item)?;
    }
    json.extend_from_slice(b"],\"meta\":");
    serde_json::to_writer(&mut json, meta)?;
    json.push(b'}');
    Ok(json)
}
