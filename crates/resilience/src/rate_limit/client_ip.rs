//! Whose request it is, behind any number of proxies.
//!
//! `X-Forwarded-For` is a claim: everything left of what a proxy of ours appended was written by the client. So it
//! is read from the right, only as far as trusted proxies vouch for it, and not at all from a stranger.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use ipnet::IpNet;
use ipnet::Ipv4Net;

/// Why a trusted proxy could not be read from its text.
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

/// The address a request counts for.
///
/// The socket's `peer`, unless that is `trusted`. Then the `x_forwarded_for` header lines, in the order received,
/// are walked from the right, past the entries that are trusted, to the first that is not. An entry that is no
/// address ends the walk at the last good one; if all are trusted, the leftmost is the client. A line that is not
/// text must be passed on as an empty one rather than left out: nothing beyond it may be believed.
///
/// IPv4 addresses mapped into IPv6 are taken as IPv4 everywhere.
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

/// The key of an address' rate limit cell: an IPv6 address stands for its /64, the smallest network a subscriber
/// gets (RFC 6177), within which he picks addresses at will. IPv4 mapped into IPv6 is taken as IPv4.
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
