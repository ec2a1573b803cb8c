//! Header lines from any peer, and texts as trusted proxies.
#![no_main]

extern crate resilience as trunkline_resilience;

#[path = "../../crates/resilience/tests/all/client_ip_claims.rs"]
mod claims;

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use resilience::rate_limit::client_ip::parse_trusted_proxy;

fuzz_target!(|input: (u128, bool, Vec<&str>, &str)| {
    let (bits, is_v4, lines, proxies) = input;
    let own: IpAddr = if is_v4 {
        IpAddr::V4((bits as u32).into())
    } else {
        IpAddr::V6(bits.into())
    };
    for proxy in proxies.split(';') {
        claims::of_proxy(proxy);
    }
    let mut trusted: Vec<_> = proxies
        .split(';')
        .filter_map(|text| parse_trusted_proxy(text).ok())
        .collect();
    claims::of_lines(own, &lines, &trusted);
    // The header only matters when the peer is trusted.
    trusted.push(own.to_canonical().into());
    claims::of_lines(own, &lines, &trusted);
});
