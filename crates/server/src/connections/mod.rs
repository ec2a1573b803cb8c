//! Sockets, from the start of the process to its end. axum's listener would keep clients that send nothing, send their
//! headers byte by byte or never read their answers; this one closes their connections.

mod body;
mod places;
mod service;
mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use domain::Entropy;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::{App, client::Peer, router::router};
use places::{ConnectionPhase, ConnectionPlace, Places};
use service::Service;
use stream::Stream;

/// Headers of one request. More than `headers.rs` allows, so that it can answer with a problem; beyond these, hyper answers
/// a bare 431.
const HEADERS_MAX: usize = 100;
/// Bytes of a request's headers, likewise.
const HEADER_BYTES_MAX: usize = 48 * 1024;
/// How long to wait when the process is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection without a byte of a request is kept once the listener is closed: its request may be on the way.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// How long a connection may be idle between two requests. Should be longer than a proxy's own timeout, so that the
    /// proxy closes it.
    pub idle_timeout: Duration,
    /// Concurrent connections of one address.
    pub per_address_max: usize,
    /// Proxies, which have no limit per address.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("requests were still being answered after {0:?}")]
    NotDrained(Duration),
}

#[derive(Debug)]
pub struct Server {
    connections: Connections,
    draining: watch::Sender<bool>,
    stop_accepting: oneshot::Sender<()>,
    accepting: JoinHandle<TcpListener>,
}

#[derive(Debug, Clone)]
struct Connections {
    places: Arc<Places>,
    service: Arc<Service>,
    idle_timeout: Duration,
}

impl Server {
    /// Answers `/healthz` from now on, and everything else with `503` until [`ready`](Self::ready).
    #[must_use]
    pub fn start(listener: TcpListener, settings: ConnectionSettings, entropy: &Entropy) -> Self {
        let (draining, is_draining) = watch::channel(false);
        let connections = Connections {
            service: Arc::new(Service::new(entropy, is_draining)),
            places: Arc::new(Places::new(settings.per_address_max, settings.trusted_proxies)),
            idle_timeout: settings.idle_timeout,
        };
        let (stop_accepting, stopped) = oneshot::channel();
        let accepting = tokio::spawn(connections.clone().accept(listener, stopped));
        Self {
            connections,
            draining,
            stop_accepting,
            accepting,
        }
    }

    /// True once the server begins to stop.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    pub fn ready(&self, app: App) {
        let (engine, mut draining) = (Arc::clone(app.engine()), self.draining());
        tokio::spawn(async move {
            // Requests that wait would use up the time for the drain. Without a sender the server is gone.
            if draining.wait_for(|draining| *draining).await.is_ok() {
                engine.events().end_waits();
            }
        });
        self.connections.service.open(router(app));
    }

    /// Stops. For `lame_duck` it still serves, with `Connection: close` in every answer and 503 on `/readyz`, so that
    /// balancers choose other nodes. Then it stops listening, serves the kernel's backlog, closes idle connections, and
    /// finishes requests under way for at most `drain`.
    ///
    /// # Errors
    /// When requests are cut off at the end of `drain`.
    pub async fn stop(self, lame_duck: Duration, drain: Duration) -> Result<(), ServeError> {
        let Self {
            connections,
            draining,
            stop_accepting,
            accepting,
        } = self;
        draining.send_replace(true);
        tokio::time::sleep(lame_duck).await;
        let _ = stop_accepting.send(());
        if let Ok(listener) = accepting.await
            && let Err(error) = connections.accept_backlog(listener)
        {
            tracing::debug!(%error, "the backlog of connections was not accepted");
        }
        let drained = async {
            let places = &connections.places;
            places.close(ConnectionPhase::Idle);
            let _ = tokio::time::timeout(FIRST_BYTE_TIMEOUT, places.all_ended()).await;
            places.close(ConnectionPhase::Silent);
            places.all_ended().await;
        };
        tokio::time::timeout(drain, drained)
            .await
            .map_err(|_| ServeError::NotDrained(drain))
    }
}

impl Connections {
    /// Accepts connections until `stopped`, and returns the listener.
    async fn accept(self, listener: TcpListener, mut stopped: oneshot::Receiver<()>) -> TcpListener {
        loop {
            let connection = async {
                let permit = self.places.permit().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                _ = &mut stopped => return listener,
                connection = connection => connection,
            };
            match accepted {
                Ok((socket, peer)) => {
                    if let Some(place) = self.places.take(peer.ip(), permit) {
                        self.serve(socket, peer, place);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted: the node still listens");
                    if !concerns_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Accepts the connections in the kernel's backlog, and closes the listener.
    fn accept_backlog(&self, listener: TcpListener) -> io::Result<()> {
        // Not through the runtime, which sees new connections a little later than the kernel.
        let listener = listener.into_std()?;
        loop {
            match listener.accept() {
                Ok((socket, peer)) => {
                    let place = self.places.try_permit();
                    if let Some(place) = place.and_then(|permit| self.places.take(peer.ip(), permit)) {
                        socket.set_nonblocking(true)?;
                        self.serve(TcpStream::from_std(socket)?, peer, place);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr, place: ConnectionPlace) {
        // Answers are small and should leave at once. If this fails, the socket is already broken.
        let _ = socket.set_nodelay(true);
        let stream = Stream::new(socket, Arc::clone(place.seat()), self.idle_timeout);
        let (service, seat) = (Arc::clone(&self.service), Arc::clone(place.seat()));
        let service = service_fn(move |request| {
            let (service, seat) = (Arc::clone(&service), Arc::clone(&seat));
            async move { service.answer(request, Peer(peer), &seat).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            // A client may close its sending side before it has its answer.
            .half_close(true)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEADER_BYTES_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

/// Errors of the connection that was being accepted, not of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
