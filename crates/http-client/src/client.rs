use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    AllowedNetworks, Resolver, Target,
    connector::{ConnectError, Connector},
};

/// Bytes of an answer's head, at most.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Bytes of an answer that are read and dropped so that the connection can be used again, at most.
const DROPPED_BYTES_MAX: usize = 64 * 1_024;

#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Addresses that may be called besides the public ones.
    pub networks: AllowedNetworks,
    /// Idle connections that are kept for each host and port.
    pub idle_max: usize,
    /// How long an idle connection is kept.
    pub idle_for: Duration,
    /// The bytes of an answer that are returned.
    pub answer_bytes_max: usize,
}

/// Calls URLs. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
    answer_bytes_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first bytes of the body.
    pub body: Bytes,
    /// Whether the body has more.
    pub cut: bool,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientError {
    #[error("the host's addresses may not be called")]
    RefusedAddress,
    #[error("the host name is not known")]
    UnknownHost,
    #[error("the host accepts no connection")]
    Connect,
    #[error("there is no trusted TLS connection to the host")]
    Tls,
    #[error("there was no complete answer in time")]
    Timeout,
    #[error("the connection was closed or the answer is no HTTP")]
    Protocol,
}

impl ClientError {
    /// A word for records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefusedAddress => "refused_address",
            Self::UnknownHost => "unknown_host",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }
}

impl Client {
    /// Trusts the certificates that this machine trusts. Without any, calls by HTTPS fail.
    #[must_use]
    pub fn new(settings: ClientSettings, resolver: Arc<dyn Resolver>) -> Self {
        let mut roots = RootCertStore::empty();
        // Some operating systems keep certificates that cannot be parsed. These are not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::warn!("this machine has no trusted certificates: URLs with https:// cannot be called");
        }
        Self::trusting(roots, settings, resolver)
    }

    /// Trusts these certificates alone.
    ///
    /// # Panics
    /// Never: the crypto provider supports the default versions of TLS.
    #[must_use]
    pub fn trusting(roots: RootCertStore, settings: ClientSettings, resolver: Arc<dyn Resolver>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let ClientSettings {
            networks,
            idle_max,
            idle_for,
            answer_bytes_max,
        } = settings;
        let connector = Connector {
            networks: Arc::new(networks),
            resolver,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_for)
            .pool_max_idle_per_host(idle_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Self {
            http,
            answer_bytes_max,
        }
    }

    /// Makes one call, from the look-up of the name to the end of the answer within `within`. A redirect is an answer like any
    /// other. A request may be sent twice only if the server closed a kept connection before it read the first.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(
        &self,
        method: Method,
        target: Target,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.0;
        *request.headers_mut() = headers;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| reason(&error))?;
            let (head, body) = answer.into_parts();
            let (body, cut) = self.read(body).await?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
                cut,
            })
        };
        timeout(within, answer).await.unwrap_or(Err(ClientError::Timeout))
    }

    async fn read(&self, mut body: Incoming) -> Result<(Bytes, bool), ClientError> {
        let (mut kept, mut dropped) = (BytesMut::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ClientError::Protocol)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            let room = self.answer_bytes_max - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
            dropped += data.len().saturating_sub(room);
            if dropped > DROPPED_BYTES_MAX {
                break;
            }
        }
        Ok((kept.freeze(), dropped > 0))
    }
}

fn reason(error: &legacy::Error) -> ClientError {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = if error.is_connect() {
        ClientError::Connect
    } else {
        ClientError::Protocol
    };
    while let Some(cause) = next {
        match cause.downcast_ref() {
            Some(ConnectError::RefusedAddress) => return ClientError::RefusedAddress,
            Some(ConnectError::UnknownHost) => return ClientError::UnknownHost,
            Some(ConnectError::Io(_)) => return ClientError::Connect,
            None => {}
        }
        // An I/O error shows the source of what it wraps, and not the wrapped error itself.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>()) {
            found = ClientError::Tls;
        }
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    found
}
