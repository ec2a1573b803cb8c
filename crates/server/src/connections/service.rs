use std::{
    convert::Infallible,
    sync::{OnceLock, atomic::Ordering::SeqCst},
};

use axum::{Router, response::Response};
use domain::Entropy;
use hyper::{
    Request,
    body::Incoming,
    header::{CONNECTION, EXPECT, HeaderValue},
};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{
    body::Unread,
    places::{Phase, Seat},
};
use crate::{client::Peer, problem::Problem, router::health_only};

/// What answers requests.
#[derive(Debug)]
pub(super) struct Service {
    /// Until the node is ready.
    starting: Router,
    /// Once it is.
    router: OnceLock<Router>,
    /// On connections beyond those there is room for.
    crowded: Router,
    draining: watch::Receiver<bool>,
}

impl Service {
    pub(super) fn new(entropy: &Entropy, draining: watch::Receiver<bool>) -> Self {
        Self {
            starting: health_only(entropy, Problem::starting),
            router: OnceLock::new(),
            crowded: health_only(entropy, Problem::overloaded),
            draining,
        }
    }

    /// Answers everything from now on.
    pub(super) fn open(&self, router: Router) {
        let _ = self.router.set(router);
    }

    /// Answers a request. What is left of its body is read first, or else the connection announced to close: a client
    /// that keeps its connection must not have to guess where the next answer begins.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        seat: &Seat,
    ) -> Result<Response, Infallible> {
        seat.enter(Phase::Busy);
        let (mut head, body) = request.into_parts();
        head.extensions.insert(peer);
        let expects_continue = head.headers.contains_key(EXPECT);
        let (body, unread) = Unread::of(body);
        let router = match self.router.get() {
            _ if seat.is_for_health => &self.crowded,
            Some(router) => router,
            None => &self.starting,
        };
        let mut response = router.clone().oneshot(Request::from_parts(head, body)).await?;
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
        seat.enter(Phase::Answering);
        Ok(response)
    }
}
