//! A server that takes one request and sends the response that a test wants.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

pub(crate) struct Socket(TcpListener);

impl Socket {
    pub(crate) async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/messages", self.0.local_addr().unwrap())
    }

    /// Reads one request, responds, closes the connection, and returns the request.
    pub(crate) async fn respond(&self, response: &str) -> String {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut request = String::new();
        while !is_whole(&request) {
            let mut bytes = [0; 4_096];
            let read = stream.read(&mut bytes).await.unwrap();
            request.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        // A client that has read enough may close first.
        let _ = stream.write_all(response.as_bytes()).await;
        request
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}
