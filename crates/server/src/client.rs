use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, request::Parts};
use resilience::rate_limit::client_ip::client_ip;

use crate::App;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The address that a request counts against: the socket's, or the one that a trusted proxy names.
pub(crate) fn address(app: &App, request: &Parts) -> IpAddr {
    // Only tests of the router have requests without a socket.
    let peer = request
        .extensions
        .get::<Peer>()
        .map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.ip());
    client_ip(
        peer,
        forwarded_for(&request.headers),
        &app.settings().trusted_proxies,
    )
}

fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    // A line that is not text becomes empty: the entries beyond it must not be trusted.
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    lines.into_iter()
}
