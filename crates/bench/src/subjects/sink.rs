use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

const BUFFER_BYTES: usize = 64 << 10;
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An endpoint that takes every webhook at once, on a thread of its own until the program ends.
pub(crate) struct Sink {
    pub(crate) url: String,
    taken: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/", listener.local_addr()?);
        let taken = Arc::new(AtomicU64::new(0));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let counter = Arc::clone(&taken);
        thread::spawn(move || runtime.block_on(accept(listener, &counter)));
        Ok(Self { url, taken })
    }

    /// Webhooks so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn accept(listener: std::net::TcpListener, taken: &Arc<AtomicU64>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (connection, _) = listener.accept().await?;
        // An error is the end of the connection.
        tokio::spawn(answer(connection, Arc::clone(taken)));
    }
}

async fn answer(mut connection: TcpStream, taken: Arc<AtomicU64>) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
        let read = connection.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some(length) = request_length(&buffer[..filled]) {
            if filled < length {
                break;
            }
            buffer.copy_within(length..filled, 0);
            filled -= length;
            taken.fetch_add(1, Ordering::Relaxed);
            connection.write_all(TAKEN).await?;
        }
    }
}

/// Bytes of the first request with its body; `None` until its head is complete.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length: usize = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
        .1
        .trim()
        .parse()
        .ok()?;
    Some(end + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_body() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        assert_eq!(request_length(request), Some(request.len() - 4));
        assert_eq!(request_length(&request[..20]), None);
    }
}
