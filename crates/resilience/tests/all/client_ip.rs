//! The client's address, case by case.

use std::net::IpAddr;

use trunkline_resilience::rate_limit::client_ip::{IpNet, cell_ip, client_ip, parse_trusted_proxy};

fn trusted(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| parse_trusted_proxy(text).unwrap())
        .collect()
}

/// Name, peer, header lines, trusted proxies, client.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str], &'a str);

#[test]
fn the_first_address_nobody_trusted_vouches_beyond() {
    const NONE: &[&str] = &[];
    const OURS: &[&str] = &["10.0.0.0/8", "fd00::/8", "192.0.2.7"];
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("no header", "203.0.113.1", &[], NONE, "203.0.113.1"),
        ("the header of an untrusted peer is ignored", "203.0.113.1", &["1.2.3.4"], OURS, "203.0.113.1"),
        ("no proxy is trusted by default", "127.0.0.1", &["1.2.3.4"], NONE, "127.0.0.1"),
        ("one proxy", "10.0.0.1", &["203.0.113.9"], OURS, "203.0.113.9"),
        ("a forged entry left of the real one", "10.0.0.1", &["6.6.6.6, 203.0.113.9"], OURS, "203.0.113.9"),
        ("a forged proxy address", "10.0.0.1", &["10.9.9.9, 203.0.113.9"], OURS, "203.0.113.9"),
        ("two proxies", "10.0.0.1", &["203.0.113.9, 192.0.2.7"], OURS, "203.0.113.9"),
        ("only the exact address is trusted", "192.0.2.8", &["203.0.113.9"], OURS, "192.0.2.8"),
        ("several lines are one list", "10.0.0.1", &["6.6.6.6", "203.0.113.9 ,10.0.0.2"], OURS, "203.0.113.9"),
        ("all trusted: the leftmost", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], OURS, "10.0.0.3"),
        ("garbage stops", "10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], OURS, "10.0.0.2"),
        ("garbage next to the peer", "10.0.0.1", &["203.0.113.9, ???"], OURS, "10.0.0.1"),
        ("an empty entry stops", "10.0.0.1", &["203.0.113.9,"], OURS, "10.0.0.1"),
        ("an empty line stops", "10.0.0.1", &["203.0.113.9", ""], OURS, "10.0.0.1"),
        ("spaces", "10.0.0.1", &["  203.0.113.9  "], OURS, "203.0.113.9"),
        ("a port", "10.0.0.1", &["203.0.113.9:4711"], OURS, "203.0.113.9"),
        ("IPv6", "fd00::1", &["2001:db8::5"], OURS, "2001:db8::5"),
        ("IPv6 in brackets", "fd00::1", &["[2001:db8::5]"], OURS, "2001:db8::5"),
        ("IPv6 with a port", "fd00::1", &["[2001:db8::5]:443"], OURS, "2001:db8::5"),
        ("a mapped peer is IPv4", "::ffff:10.0.0.1", &["203.0.113.9"], OURS, "203.0.113.9"),
        ("a mapped entry is IPv4", "10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"], OURS, "203.0.113.9"),
        ("a mapped client is IPv4", "::ffff:203.0.113.1", &[], OURS, "203.0.113.1"),
        ("a mapped network is IPv4", "10.0.0.1", &["203.0.113.9"], &["::ffff:10.0.0.0/104"], "203.0.113.9"),
    ];
    for (shows, peer, lines, proxies, client) in cases {
        let found = client_ip(peer.parse().unwrap(), lines.iter().copied(), &trusted(proxies));
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{shows}");
    }
}

#[test]
fn one_cell_for_a_subscriber() {
    #[rustfmt::skip]
    let cases = [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("::1", "::"),
    ];
    for (ip, cell) in cases {
        assert_eq!(
            cell_ip(ip.parse().unwrap()),
            cell.parse::<IpAddr>().unwrap(),
            "{ip}"
        );
    }
}

#[test]
fn a_proxy_is_an_address_or_a_network() {
    #[rustfmt::skip]
    let cases = [
        ("10.0.0.1", "10.0.0.1/32"),
        (" 10.1.2.3/8 ", "10.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd12::/8", "fd00::/8"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ];
    for (text, net) in cases {
        assert_eq!(parse_trusted_proxy(text).unwrap().to_string(), net);
    }
    for text in [
        "",
        "proxy.example",
        "10.0.0.0/33",
        "10.0.0.1:80",
        "10.0.0.0/8, ::1",
    ] {
        let message = parse_trusted_proxy(text).unwrap_err().to_string();
        assert!(message.contains(&format!("`{text}`")), "{message}");
    }
}
