//! The life of a connection: clients that keep it, leave it half closed, send nothing, or are too many.

mod half_closed;
mod hosts;
mod lame_duck;
mod limits;
mod starting;
mod unread;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::within;

/// An answer as it stands on the wire.
#[derive(Debug)]
struct Raw {
    status: u16,
    head: String,
    body: String,
}

impl Raw {
    fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends this on a connection that stays, and reads the one answer to it.
async fn exchange(socket: &mut TcpStream, request: impl AsRef<[u8]>) -> Raw {
    within("it is sent", socket.write_all(request.as_ref()))
        .await
        .unwrap();
    next_answer(socket).await
}

/// Reads one answer and leaves what follows.
async fn next_answer(socket: &mut TcpStream) -> Raw {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = within("a head", socket.read_u8()).await;
        head.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head))));
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("\r\ncontent-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    within("a body", socket.read_exact(&mut body)).await.unwrap();
    Raw {
        status: head[9..12].parse().unwrap(),
        head,
        body: String::from_utf8(body).unwrap(),
    }
}

/// Whether the connection still serves.
async fn is_usable(socket: &mut TcpStream) -> bool {
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    exchange(socket, request).await.status == 200
}

/// Waits until the server has closed the connection, in good order, without another word.
async fn until_closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    within("the server closes", socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
}
