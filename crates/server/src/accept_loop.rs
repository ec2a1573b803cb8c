//! Sockets: a listener of our own, because a server must cut off clients that send nothing, drip their headers or never
//! read their answers, and not let them keep a place.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::{App, client::Peer, router::router};

/// Connections at the same time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take for the headers of a request, and a connection may idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may leave its answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Headers of one request. More than `headers.rs` allows, so that it can answer with a problem: what is beyond these,
/// hyper answers with a bare 431.
const HEADERS_MAX: usize = 100;
/// Bytes of a request's headers; likewise.
const HEADER_BYTES_MAX: usize = 48 * 1024;
/// How long to wait when the process has no socket left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why serving ended early.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Requests were still being answered when the time was up.
    #[error("requests were still being answered after {0:?}")]
    NotDrained(Duration),
}

/// Answers requests until `stop` completes; then takes no new ones and finishes those under way, for at most `drain`.
///
/// # Errors
/// When requests were cut off at the end of `drain`.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send,
    drain: Duration,
) -> Result<(), ServeError> {
    let router = router(app);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let connection = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = &mut stop => break,
            connection = connection => connection,
        };
        match (place, accepted) {
            (Ok(place), Ok((socket, peer))) => handle(socket, Peer(peer), &router, &graceful, place),
            (Err(_), _) => break,
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                if !is_the_clients(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    tokio::time::timeout(drain, graceful.shutdown())
        .await
        .map_err(|_| ServeError::NotDrained(drain))
}

fn handle(
    socket: TcpStream,
    peer: Peer,
    router: &axum::Router,
    graceful: &GracefulShutdown,
    place: OwnedSemaphorePermit,
) {
    // Answers are small and should leave at once; a socket that refuses is closed soon anyway.
    let _ = socket.set_nodelay(true);
    let mut stream = TimeoutStream::new(socket);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let router = router.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(place);
    });
}

/// Errors that concern the one connection that was being accepted, not the listener.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
