//! Claims about any header lines and any text for a proxy. The fuzz targets share them (docs/fuzzing.md).

use std::net::{IpAddr, SocketAddr};

use trunkline_resilience::rate_limit::client_ip::{IpNet, cell_ip, client_ip, parse_trusted_proxy};

/// Any header lines from any peer.
pub fn of_lines(peer: IpAddr, lines: &[&str], trusted: &[IpNet]) {
    let found = client_ip(peer, lines.iter().copied(), trusted);
    assert_eq!(
        found,
        walked(peer, lines, trusted),
        "{peer} {lines:?} {trusted:?}"
    );
    assert_eq!(found, found.to_canonical());
    let nobody = client_ip(peer, lines.iter().copied(), &[]);
    assert_eq!(
        nobody,
        peer.to_canonical(),
        "without trusted proxies the socket decides"
    );

    // A client's own entries stand left of those the proxies append, and change nothing once the client is found.
    if !is_trusted(found, trusted) {
        let claimed = [&["6.6.6.6, 10.0.0.1"], lines].concat();
        assert_eq!(client_ip(peer, claimed.into_iter(), trusted), found);
    }
    let cell = cell_ip(found);
    assert_eq!(cell_ip(cell), cell);
    assert_eq!(cell.is_ipv4(), found.is_ipv4());
}

/// Any text as a trusted proxy: a network that can be printed and read again, or an error that shows the text.
pub fn of_proxy(text: &str) {
    match parse_trusted_proxy(text) {
        Ok(net) => {
            assert_eq!(net, net.trunc());
            assert_eq!(parse_trusted_proxy(&net.to_string()), Ok(net));
            if let Ok(ip) = text.trim().parse::<IpAddr>() {
                assert!(net.contains(&ip.to_canonical()) && net.prefix_len() == net.max_prefix_len());
            }
        }
        Err(error) => assert!(error.to_string().contains(text.trim())),
    }
}

/// The same search over a list: the peer and all entries, newest first, cut off before the first that is not an address. The
/// client is the first that is not trusted, or else the last.
fn walked(peer: IpAddr, lines: &[&str], trusted: &[IpNet]) -> IpAddr {
    let joined = lines.join(",");
    let entries = joined.split(',').rev().map(address).take_while(Option::is_some);
    let entries = entries.flatten().filter(|_| !lines.is_empty());
    let way: Vec<IpAddr> = std::iter::once(peer.to_canonical()).chain(entries).collect();
    let stranger = way.iter().find(|ip| !is_trusted(**ip, trusted));
    *stranger.or(way.last()).unwrap_or(&peer)
}

fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&ip))
}

/// An address, bare, in brackets, or with a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let in_brackets = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let bare: Option<IpAddr> = entry.parse().ok();
    let with_port: Option<SocketAddr> = entry.parse().ok();
    let found = bare
        .or(in_brackets.and_then(|inner| inner.parse().ok()))
        .or(with_port.map(|socket| socket.ip()));
    found.map(|ip| ip.to_canonical())
}
