use std::{io, str::FromStr, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The size of an answer's head and body at first; it grows for larger pages.
const BUFFER_BYTES: usize = 4_096;
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Host and port of a URL such as `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority(String);

impl Authority {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Authority {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("{url} does not start with http://; TLS is not spoken here");
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            bail!("{url} must be a host and a port only, such as http://127.0.0.1:8080");
        }
        if authority.contains(':') {
            Ok(Self(authority.to_owned()))
        } else {
            Ok(Self(format!("{authority}:80")))
        }
    }
}

/// One keep-alive connection. It understands a status line and a body of declared length.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// The needed part of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of head and body together.
    bytes: usize,
    head_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(authority: &Authority) -> anyhow::Result<Self> {
        let connecting = TcpStream::connect(authority.as_str());
        let stream = tokio::time::timeout(CONNECT_MAX, connecting).await;
        let stream = stream
            .map_err(io::Error::from)
            .flatten()
            .with_context(|| format!("cannot connect to {}", authority.as_str()))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        })
    }

    /// Sends a request and returns the status of the answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        Ok(self.exchange(request).await?.status)
    }

    /// Gets a resource and returns the status and the body.
    pub(crate) async fn get(&mut self, authority: &Authority, path: &str) -> io::Result<(u16, String)> {
        let request = get_request(authority, path);
        let head = self.exchange(request.as_bytes()).await?;
        let body = &self.buffer[head.head_bytes..head.bytes];
        Ok((head.status, String::from_utf8_lossy(body).into_owned()))
    }

    /// Posts JSON and returns the status and the body.
    pub(crate) async fn post(
        &mut self,
        authority: &Authority,
        path: &str,
        body: &Value,
    ) -> io::Result<(u16, String)> {
        let (host, body) = (authority.as_str(), body.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let head = self.exchange(request.as_bytes()).await?;
        let body = &self.buffer[head.head_bytes..head.bytes];
        Ok((head.status, String::from_utf8_lossy(body).into_owned()))
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let mut head = None;
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.filled * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
            if head.is_none() {
                head = parse(&self.buffer[..self.filled])?;
            }
            if let Some(head) = head.take_if(|head| self.filled >= head.bytes) {
                return Ok(head);
            }
        }
    }
}

/// The request for a resource.
pub(crate) fn get_request(authority: &Authority, path: &str) -> String {
    let host = authority.as_str();
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n\r\n")
}

/// Reads the head of an answer; `None` until it is complete.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed("a head that is not text"))?;
    let status = head
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| malformed("no status in the answer"))?;
    let length: usize = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .ok_or_else(|| malformed("an answer without content-length"))?;
    Ok(Some(Head {
        status,
        bytes: end + 4 + length,
        head_bytes: end + 4,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let whole = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        for cut in 0..whole.len() - 5 {
            assert_eq!(parse(&whole[..cut]).unwrap(), None, "{cut}");
        }
        let head = parse(whole).unwrap().unwrap();
        assert_eq!((head.status, head.bytes), (202, whole.len()));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn urls_name_a_host_and_a_port() {
        let authority = |url: &str| url.parse::<Authority>().map(|authority| authority.0).ok();
        assert_eq!(
            authority("http://127.0.0.1:8080/").as_deref(),
            Some("127.0.0.1:8080")
        );
        assert_eq!(authority("http://example.com").as_deref(), Some("example.com:80"));
        assert_eq!(authority("https://example.com"), None);
        assert_eq!(authority("http://example.com/api"), None);
    }
}
