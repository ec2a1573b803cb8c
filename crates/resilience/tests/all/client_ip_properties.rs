//! The client's address for any header.

use std::net::IpAddr;

use proptest::prelude::*;
use trunkline_resilience::rate_limit::client_ip::{IpNet, parse_trusted_proxy};

use crate::client_ip_claims;

/// Inputs for each property.
const CASES: u32 = 1_000;

/// Few networks, so that random inputs hit them.
fn ip() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "10[.]0[.]0[.][0-9]",
        2 => "203[.]0[.]113[.][0-9]",
        1 => "fd00::[0-9]",
        1 => "2001:db8::[0-9]",
        1 => "::ffff:10[.]0[.]0[.][0-9]",
    ]
}

fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => ip(),
        1 => ip().prop_map(|ip| format!(" {ip}\t")),
        1 => ip().prop_map(|ip| format!("[{ip}]")),
        1 => ip().prop_map(|ip| format!("{ip}:443")),
        1 => ip().prop_map(|ip| format!("[{ip}]:443")),
        1 => "[0-9a-f:.\\[\\] %]{0,12}",
        1 => "(?s).{0,20}",
    ]
}

fn line() -> impl Strategy<Value = String> {
    prop::collection::vec(entry(), 0..4).prop_map(|entries| entries.join(","))
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("10.0.0.0/8".to_owned()),
        Just("fd00::/8".to_owned()),
        Just("::ffff:10.0.0.0/104".to_owned()),
        ip(),
        "10[.]0[.]0[.]0/[0-9]{1,3}",
        "fd00::/[0-9]{1,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn the_client_is_the_first_stranger_or_the_last_friend(
        peer in ip(), lines in prop::collection::vec(line(), 0..3), networks in prop::collection::vec(network(), 0..4),
    ) {
        let peer: IpAddr = peer.parse().unwrap();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let trusted: Vec<IpNet> = networks.iter().filter_map(|text| parse_trusted_proxy(text).ok()).collect();
        client_ip_claims::of_lines(peer, &lines, &trusted);
    }

    #[test]
    fn a_text_is_a_network_or_an_error_that_shows_it(text in prop_oneof![4 => network(), 2 => entry(), 1 => "(?s).{0,20}"]) {
        client_ip_claims::of_proxy(&text);
    }
}
