use std::{convert::Infallible, sync::atomic::Ordering::SeqCst, time::Duration};

use axum::{Router, response::Response};
use domain::Entropy;
use hyper::{
    Request,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue},
};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{
    body::Unread,
    places::{ConnectionPhase, Seat},
};
use crate::{
    auth::OPEN_PATHS, client::Peer, problem::Problem, router::health_only,
    routes::events::stream::EVENT_STREAM,
};

/// How long a request waits for a node that is starting: balancers without health checks send requests as soon as the port
/// is open. A start usually takes less than a second, and every request is answered within 2 s.
const READY_TIMEOUT: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
pub(super) struct Service {
    /// Answers until the node is ready.
    starting: Router,
    /// Answers once it is.
    router: watch::Sender<Option<Router>>,
    /// Answers on the `HEALTH_CONNECTIONS_MAX`.
    crowded: Router,
    draining: watch::Receiver<bool>,
}

impl Service {
    pub(super) fn new(entropy: &Entropy, draining: watch::Receiver<bool>) -> Self {
        Self {
            starting: health_only(entropy, Problem::starting),
            router: watch::Sender::new(None),
            crowded: health_only(entropy, Problem::overloaded),
            draining,
        }
    }

    /// Opens all routes.
    pub(super) fn open(&self, router: Router) {
        self.router.send_replace(Some(router));
    }

    /// The router for this request. Probes do not wait for the node to be ready.
    async fn router(&self, path: &str, seat: &Seat) -> Router {
        if seat.is_for_health {
            return self.crowded.clone();
        }
        if let Some(router) = &*self.router.borrow() {
            return router.clone();
        }
        if !OPEN_PATHS.contains(&path) {
            let mut ready = self.router.subscribe();
            let ready = ready.wait_for(Option::is_some);
            if let Ok(Ok(router)) = tokio::time::timeout(READY_TIMEOUT, ready).await {
                return router.clone().unwrap_or_else(|| self.starting.clone());
            }
        }
        self.starting.clone()
    }

    /// Answers a request. Before that it reads the rest of the body, or announces `Connection: close`: the next request on
    /// this connection begins where the body ends.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        seat: &Seat,
    ) -> Result<Response, Infallible> {
        seat.enter(ConnectionPhase::Busy);
        let (mut head, body) = request.into_parts();
        head.extensions.insert(peer);
        let expects_continue = head.headers.contains_key(EXPECT);
        let (body, unread) = Unread::of(body);
        let router = self.router(head.uri.path(), seat).await;
        let mut response = router.oneshot(Request::from_parts(head, body)).await?;
        let is_read = match unread {
            Some(unread) => unread.read_rest(expects_continue).await,
            None => true,
        };
        seat.leaves_unread.store(!is_read, SeqCst);
        if !is_read || seat.is_for_health || *self.draining.borrow() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value == EVENT_STREAM);
        seat.is_stream.store(is_stream, SeqCst);
        seat.enter(ConnectionPhase::Answering);
        Ok(response)
    }
}
