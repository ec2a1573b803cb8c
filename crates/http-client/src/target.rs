use std::fmt;

use hyper::Uri;
use thiserror::Error;
use url::Url;

const URL_BYTES_MAX: usize = 2_048;

/// A URL that can be called. `Debug` masks it, because URLs may carry keys.
#[derive(Clone)]
pub struct Target(pub(crate) Uri);

/// What is wrong with a URL. The text quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidUrl(&'static str);

impl Target {
    /// Reads a URL as browsers do. Every spelling of an IP address comes out as that address.
    ///
    /// # Errors
    /// When it is no URL of HTTP or HTTPS, too long, or carries a user name, a password or a fragment.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason| Err(InvalidUrl(reason));
        if text.len() > URL_BYTES_MAX {
            return invalid("use a URL of at most 2048 bytes");
        }
        // The parser drops tabs and line breaks.
        if text.chars().any(|one| one.is_control() || one.is_whitespace()) {
            return invalid("use a URL without white space");
        }
        let url = Url::parse(text).map_err(|_| InvalidUrl("use a URL such as https://example.com/hook"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return invalid("use a URL that begins with https:// or http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("use a URL without a user name and password");
        }
        if url.fragment().is_some() {
            return invalid("use a URL without a fragment (#)");
        }
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return invalid("use a URL with a host, and a port other than 0");
        }
        let uri = url.as_str().parse();
        let uri = uri.map_err(|_| InvalidUrl("use a URL with its special characters percent-encoded"))?;
        Ok(Self(uri))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_called_is_refused_and_not_quoted() {
        for text in [
            "",
            "example.com/hook",
            "ftp://example.com/",
            "file:///etc/passwd",
            "unix:/run/docker.sock",
            "javascript:alert(1)",
            "http://",
            "http://:80/",
            "https://user@example.com/",
            "https://user:sesame@example.com/",
            "https://@127.0.0.1:x/",
            "https://example.com/#sesame",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://exa mple.com/",
            "https://example.com/\r\nhost: other",
            "https://[fe80::1%25eth0]/",
            "https://[::1/",
            "https://256.1.1.1/",
            &format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX)),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("use a URL"), "{text}: {error}");
            assert!(!error.contains("sesame"));
        }
    }

    #[test]
    fn every_spelling_of_an_address_comes_out_as_that_address() {
        for spelling in [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.0.0.0x1",
            "%31%32%37.0.0.1",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
        ] {
            let target = Target::parse(&format!("http://{spelling}/hook?a=1")).unwrap();
            assert_eq!(target.0, "http://127.0.0.1/hook?a=1", "{spelling}");
        }
    }
}
