use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// Which addresses may be called besides the public ones: `none`, or a list of `loopback`, `private` (RFC 1918 and unique local
/// addresses) and networks such as `10.1.0.0/16`, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("use none, loopback, private or networks such as 10.1.0.0/16")]
pub struct InvalidNetworks;

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), bits)
}

const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(v4(127, 0, 0, 0, 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];
const PRIVATE: [IpNet; 4] = [
    IpNet::V4(v4(10, 0, 0, 0, 8)),
    IpNet::V4(v4(172, 16, 0, 0, 12)),
    IpNet::V4(v4(192, 168, 0, 0, 16)),
    IpNet::V6(v6(0xfc00, 0, 0, 7)),
];
/// IPv4 that is not public. The documentation networks lead nowhere and stay.
const INTERNAL_V4: [Ipv4Net; 11] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    // Special purposes and benchmarks: some clouds answer there.
    v4(192, 0, 0, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(224, 0, 0, 0, 4),
    // Reserved, and broadcast.
    v4(240, 0, 0, 0, 4),
];
const INTERNAL_V6: [Ipv6Net; 7] = [
    // NAT64 of a local network.
    v6(0x64, 0xff9b, 1, 48),
    // Discard.
    v6(0x100, 0, 0, 64),
    // Teredo carries an address of somebody's inside.
    v6(0x2001, 0, 0, 32),
    v6(0xfc00, 0, 0, 7),
    v6(0xfe80, 0, 0, 10),
    // Site-local, as it once was.
    v6(0xfec0, 0, 0, 10),
    v6(0xff00, 0, 0, 8),
];

impl AllowedNetworks {
    #[must_use]
    pub fn loopback() -> Self {
        Self(LOOPBACK.to_vec())
    }

    /// The address to connect to: `ip`, with a mapped IPv4 address as such. `None` if it must not be called.
    #[must_use]
    pub fn admit(&self, ip: IpAddr) -> Option<IpAddr> {
        let ip = ip.to_canonical();
        let allowed = self.0.iter().any(|network| network.contains(&ip));
        (allowed || is_public(ip)).then_some(ip)
    }
}

impl FromStr for AllowedNetworks {
    type Err = InvalidNetworks;

    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let mut networks = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item {
                "loopback" => networks.extend(LOOPBACK),
                "private" => networks.extend(PRIVATE),
                _ => networks.push(item.parse().map_err(|_| InvalidNetworks)?),
            }
        }
        Ok(Self(networks))
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !INTERNAL_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => {
            !INTERNAL_V6.iter().any(|network| network.contains(&ip))
                && embedded(ip).is_none_or(|inner| is_public(inner.into()))
        }
    }
}

/// The IPv4 address to which a gateway or the kernel may translate an IPv6 address.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = ip.segments();
    let ipv4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match words {
        // Compatible (with unspecified and loopback), mapped, translated (SIIT), NAT64.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // ISATAP.
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(ipv4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(ipv4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_opened() {
        let admits = |networks: &str, ip: &str| {
            let networks: AllowedNetworks = networks.parse().unwrap();
            networks.admit(ip.parse().unwrap()).is_some()
        };
        for (networks, ip, admitted) in [
            ("none", "93.184.215.14", true),
            ("none", "2606:4700::1111", true),
            ("none", "192.0.2.1", true),
            ("none", "2002:5db8:d70e::1", true),
            ("none", "127.0.0.1", false),
            ("loopback", "127.255.0.1", true),
            ("loopback", "::1", true),
            ("loopback", "::ffff:127.0.0.1", true),
            ("loopback", "::127.0.0.1", false),
            ("loopback", "64:ff9b::127.0.0.1", false),
            ("loopback", "10.0.0.1", false),
            ("private", "10.0.0.1", true),
            ("private", "172.31.255.255", true),
            ("private", "fd00::1", true),
            ("private", "169.254.169.254", false),
            ("private", "100.64.0.1", false),
            ("private", "127.0.0.1", false),
            ("loopback, 10.1.0.0/16", "10.1.2.3", true),
            ("loopback, 10.1.0.0/16", "10.2.2.3", false),
            ("169.254.169.254/32", "169.254.169.254", true),
        ] {
            assert_eq!(admits(networks, ip), admitted, "{networks}: {ip}");
        }
    }

    #[test]
    fn what_is_no_list_of_networks_is_refused() {
        for text in ["", "all", "10.1.0.0", "loopback,", "none,loopback", "10.0.0.0/33"] {
            assert_eq!(text.parse::<AllowedNetworks>(), Err(InvalidNetworks), "{text}");
        }
    }
}
