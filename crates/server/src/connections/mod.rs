//! Sockets, from the start of the process to its end. The listener is our own, because a server must cut off clients that
//! send nothing, drip their headers or never read their answers, and must not let them keep a place.

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
use places::{Phase, Place, Places};
use service::Service;
use stream::Stream;

/// Headers of one request. More than `headers.rs` allows, so that it can answer with a problem: what is beyond these,
/// hyper answers with a bare 431.
const HEADERS_MAX: usize = 100;
/// Bytes of a request's headers; likewise.
const HEADER_BYTES_MAX: usize = 48 * 1024;
/// How long to wait when the process has no socket or no place left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that has sent nothing yet is kept once the listener is closed: its request is on the way.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(500);

/// What the operator decides about connections.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// How long a connection may be idle between two requests. Longer than a proxy keeps it, so that the proxy is the one
    /// to close it.
    pub idle_timeout: Duration,
    /// Connections from one address at the same time.
    pub per_address_max: usize,
    /// Proxies, to which the limit for each address does not apply.
    pub trusted_proxies: Vec<IpNet>,
}

/// Why stopping was not orderly.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Requests were still being answered when the time was up.
    #[error("requests were still being answered after {0:?}")]
    NotDrained(Duration),
}

/// A listening socket and its connections.
#[derive(Debug)]
pub struct Server {
    connections: Connections,
    draining: watch::Sender<bool>,
    stop_accepting: oneshot::Sender<()>,
    accepting: JoinHandle<TcpListener>,
}

/// What every connection needs.
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

    /// Turns true when the server begins to stop.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Opens all routes.
    pub fn ready(&self, app: App) {
        self.connections.service.open(router(app));
    }

    /// Stops. For `lame_duck` it goes on serving, but says in every answer that the connection closes and in `/readyz`
    /// that it is not ready, so that balancers go elsewhere. Then it stops listening, answers what the kernel has accepted
    /// for it, closes idle connections, and finishes requests under way for at most `drain`.
    ///
    /// # Errors
    /// When requests were cut off at the end of `drain`.
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
            places.close(Phase::Idle);
            let _ = tokio::time::timeout(FIRST_BYTE_TIMEOUT, places.all_ended()).await;
            places.close(Phase::Silent);
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
                    tracing::warn!(%error, "a connection cannot be accepted: the node goes on listening");
                    if !concerns_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Accepts what the kernel has accepted, and closes the listener.
    fn accept_backlog(&self, listener: TcpListener) -> io::Result<()> {
        // Not through the runtime, which learns a little later than the kernel what there is.
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

    fn serve(&self, socket: TcpStream, peer: SocketAddr, place: Place) {
        // Answers are small and should leave at once; a socket that refuses is closed soon anyway.
        let _ = socket.set_nodelay(true);
        let stream = Stream::new(socket, Arc::clone(place.seat()), self.idle_timeout);
        let (service, seat) = (Arc::clone(&self.service), Arc::clone(place.seat()));
        let service = service_fn(move |request| {
            let (service, seat) = (Arc::clone(&service), Arc::clone(&seat));
            async move { service.answer(request, Peer(peer), &seat).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            // A client may say that it has nothing more to ask before it has its answer.
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

/// Errors that concern the one connection that was being accepted, not the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
