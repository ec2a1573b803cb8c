use std::net::{Ipv4Addr, Ipv6Addr};

use axum::{
    extract::Request,
    http::{header, uri::Authority},
};
use domain::FieldError;

use crate::{
    App,
    problem::{Code, Problem},
};

/// The names that a node without keys answers to: those of loopback, and some of the operator's.
///
/// A web page can resolve its own name to loopback and so reach this node from a browser on this machine (DNS rebinding).
/// The browser then sends the page's name in `Host`, and the page cannot change that.
#[derive(Debug, Clone)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Loopback, and these names, without ports.
    ///
    /// # Errors
    /// The first text that is not a host's name.
    pub fn loopback_and<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let names = names.into_iter().map(|name| match host(name) {
            Some(host) if host == name.to_ascii_lowercase() => Ok(host),
            _ => Err(name),
        });
        names.collect::<Result<_, _>>().map(Self)
    }

    fn allow(&self, authority: &str) -> bool {
        host(authority).is_some_and(|host| is_loopback(&host) || self.0.contains(&host))
    }
}

/// Refuses requests without exactly one `Host`, and those whose `Host` is not allowed.
pub(crate) fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::invalid(vec![FieldError::new(
            "Host",
            "send the header exactly once",
        )]));
    };
    let Some(allowed) = &app.settings().allowed_hosts else {
        return Ok(());
    };
    // The target may contain a host too: `GET http://localhost/healthz`.
    let target = request.uri().authority().map(Authority::as_str);
    let names = [host.to_str().ok(), Some(target.unwrap_or("localhost"))];
    if names
        .into_iter()
        .all(|name| name.is_some_and(|name| allowed.allow(name)))
    {
        Ok(())
    } else {
        let detail = "Without API keys this node answers only as localhost. Use that name, or add the name in Host to \
                      API_ALLOWED_HOSTS.";
        Err(Problem::new(Code::Misdirected, detail))
    }
}

/// The host in `host:port`, in lower case.
fn host(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    let host = parsed.host();
    (!host.is_empty() && !authority.contains('@')).then(|| host.to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
        || address.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_allowed_and_what_looks_like_it_is_not() {
        let allowed = AllowedHosts::loopback_and(["trunkline.internal"]).unwrap();
        for name in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.9.8.7:1",
            "[::1]",
            "[::1]:8080",
            "trunkline.internal",
            "Trunkline.Internal:80",
        ] {
            assert!(allowed.allow(name), "{name}");
        }
        for name in [
            "",
            ":8080",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "128.0.0.1",
            "0.0.0.0",
            "localhost@example.com",
            "example.com@localhost",
            "localhost, example.com",
            "localhost/",
            "[::2]",
            "[::]",
            "2130706433",
            "a.trunkline.internal",
        ] {
            assert!(!allowed.allow(name), "{name}");
        }
    }

    #[test]
    fn names_come_without_ports() {
        for name in ["", "a:80", "a b", "user@a", "http://a"] {
            assert_eq!(AllowedHosts::loopback_and([name]).err(), Some(name));
        }
    }
}
