use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

use super::{Client, within};

/// How many bytes of a stream the kernel keeps for a slow reader.
const SLOW_BUFFER_BYTES: u32 = 4_096;

/// A client of an event stream.
pub struct EventStream {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
    text: String,
}

/// An event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed {
    pub id: String,
    pub event: String,
    pub data: Value,
}

impl EventStream {
    /// `last_event_id` is what a client sends that resumes.
    pub async fn open(client: &Client, path: &str, last_event_id: Option<&str>) -> Self {
        let socket = TcpStream::connect(client.address).await.unwrap();
        Self::on(socket, path, last_event_id).await
    }

    /// A client whose kernel takes few bytes while it does not read.
    pub async fn open_slow(client: &Client, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SLOW_BUFFER_BYTES).unwrap();
        Self::on(socket.connect(client.address).await.unwrap(), path, None).await
    }

    async fn on(socket: TcpStream, path: &str, last_event_id: Option<&str>) -> Self {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let mut request = hyper::Request::get(path).header("host", "trunkline.test");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Empty::<hyper::body::Bytes>::new()).unwrap();
        let response = within("the stream answers", sender.send_request(request)).await;
        let (head, body) = response.unwrap().into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            text: String::new(),
        }
    }

    /// The next block, which an empty line ends; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = within("the stream goes on", self.body.frame()).await?;
            let data = frame.unwrap().into_data().unwrap();
            self.text += std::str::from_utf8(&data).unwrap();
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Streamed> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
            };
            if let Some(data) = field("data") {
                return Some(Streamed {
                    id: field("id").unwrap(),
                    event: field("event").unwrap(),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }
}
