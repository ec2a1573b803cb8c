//! The address of a client behind any number of proxies.
//!
//! A client can write anything into `X-Forwarded-For`; proxies append to it. So it is read from the right, only through
//! trusted proxies, and ignored if the peer is not one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use ipnet::IpNet;
use ipnet::Ipv4Net;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither an IP address nor a network; write it like 10.0.0.1, 10.0.0.0/8 or fd00::/8")]
pub struct TrustedProxyError {
    text: String,
}

/// Reads one trusted proxy, an address or a network in CIDR form. Host bits are dropped.
///
/// # Errors
/// When `text` is neither.
pub fn parse_trusted_proxy(text: &str) -> Result<IpNet, TrustedProxyError> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|net| canonical_net(net).trunc())
        .map_err(|_| TrustedProxyError {
            text: text.to_owned(),
        })
}

/// The address a request counts for: the socket's `peer`, unless that is `trusted`.
///
/// If it is, the entries of the `x_forwarded_for` lines, in the order received, are read from the right up to the first
/// that is not trusted. An entry that is not an address ends the search at the last good one. If all are trusted, the
/// leftmost is the client. Pass a line that is not text as an empty one: entries left of it must not be believed.
///
/// IPv4 addresses mapped into IPv6 count as IPv4.
pub fn client_ip<'a>(
    peer: IpAddr,
    x_forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut client = peer.to_canonical();
    for entry in x_forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&client) {
            break;
        }
        match parse_entry(entry.trim()) {
            Some(ip) => client = ip,
            None => break,
        }
    }
    client
}

/// The key of an address's rate limit cell. An IPv6 address counts as its /64, the smallest network a subscriber gets
/// (RFC 6177), in which a client can choose addresses at will. IPv4 mapped into IPv6 counts as IPv4.
#[must_use]
pub fn cell_ip(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Some proxies add the port, and then IPv6 comes in brackets.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    bare.parse::<IpAddr>()
        .or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|ip| ip.to_canonical())
}

/// Networks inside `::ffff:0:0/96` are IPv4, as the addresses they are compared with.
fn canonical_net(net: IpNet) -> IpNet {
    match (net, net.addr().to_canonical()) {
        (IpNet::V6(mapped), IpAddr::V4(ip)) if mapped.prefix_len() >= 96 => {
            Ipv4Net::new(ip, mapped.prefix_len() - 96).map_or(net, IpNet::V4)
        }
        _ => net,
    }
}
