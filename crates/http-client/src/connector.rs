use std::{
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use crate::{AllowedNetworks, Resolver};

/// Addresses of a name that are tried, one after the other.
const ADDRESSES_TRIED_MAX: usize = 4;
/// How long each may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Opens TCP connections to addresses that it has checked.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) networks: Arc<AllowedNetworks>,
    pub(crate) resolver: Arc<dyn Resolver>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("all its addresses are refused")]
    RefusedAddress,
    #[error("the name is not known")]
    UnknownHost,
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::UnknownHost)?;
        let port = match uri.port_u16() {
            Some(port) => port,
            None if uri.scheme_str() == Some("https") => 443,
            None => 80,
        };
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for ip in self.admitted(host).await? {
            // The checked address itself: there is no second look-up.
            match timeout(CONNECT_TIMEOUT, TcpStream::connect((ip, port))).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last.into())
    }

    /// The addresses of a host that may be called, at least one.
    async fn admitted(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        let found = match literal {
            Ok(ip) => vec![ip],
            Err(_) => self
                .resolver
                .resolve(host)
                .await
                .map_err(|_| ConnectError::UnknownHost)?,
        };
        if found.is_empty() {
            return Err(ConnectError::UnknownHost);
        }
        let admitted = found.into_iter().filter_map(|ip| self.networks.admit(ip));
        let admitted: Vec<_> = admitted.take(ADDRESSES_TRIED_MAX).collect();
        if admitted.is_empty() {
            return Err(ConnectError::RefusedAddress);
        }
        Ok(admitted)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
