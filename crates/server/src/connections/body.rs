use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// Bytes that are read of a refused body, so that the connection can be used again.
const REST_BYTES_MAX: u64 = 1 << 20;
/// How long they are read.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's body, of which a handler may leave a part unread.
pub(super) struct Unread {
    incoming: Arc<Mutex<Incoming>>,
    is_begun: Arc<AtomicBool>,
}

/// The handler's view of it.
struct Handed {
    incoming: Arc<Mutex<Incoming>>,
    is_begun: Arc<AtomicBool>,
}

impl Unread {
    /// `None` for a request without a body.
    pub(super) fn of(body: Incoming) -> (Body, Option<Self>) {
        if hyper::body::Body::is_end_stream(&body) {
            return (Body::empty(), None);
        }
        let (incoming, is_begun) = (Arc::new(Mutex::new(body)), Arc::default());
        let handed = Handed {
            incoming: Arc::clone(&incoming),
            is_begun: Arc::clone(&is_begun),
        };
        (Body::new(handed), Some(Self { incoming, is_begun }))
    }

    /// Reads what the handler left. False if that is too much, or if the client waits for a `100 Continue` before it sends
    /// the body: the connection cannot be used again.
    pub(super) async fn read_rest(self, expects_continue: bool) -> bool {
        let rest = Handed {
            incoming: self.incoming,
            is_begun: Arc::default(),
        };
        if hyper::body::Body::is_end_stream(&rest) {
            return true;
        }
        let is_awaited = expects_continue && !self.is_begun.load(SeqCst);
        if is_awaited || hyper::body::Body::size_hint(&rest).lower() > REST_BYTES_MAX {
            return false;
        }
        let read = async {
            let mut rest = std::pin::pin!(rest);
            let mut bytes = 0;
            while bytes <= REST_BYTES_MAX {
                match rest.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
            false
        };
        tokio::time::timeout(REST_TIMEOUT, read).await.unwrap_or(false)
    }
}

impl hyper::body::Body for Handed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_begun.store(true, SeqCst);
        Pin::new(&mut *self.incoming.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.lock().size_hint()
    }
}
