use std::time::Duration;

use proptest::{prelude::*, sample::Index};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Edge;
use crate::world::{World, sms};

/// How long an answer may take to a client that says nothing more.
const ANSWER_MAX: Duration = Duration::from_secs(5);

fn request() -> Vec<u8> {
    let body = sms("a").to_string();
    let head = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nidempotency-key: k\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// A request with a few bytes changed, or none of one.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(b"\r\n\0 :/%\t\x7f\x80\xff0aA".to_vec());
    let change = (any::<Index>(), prop_oneof![odd, any::<u8>()], 0_u8..4);
    let changed = prop::collection::vec(change, 1..4).prop_map(|changes| {
        let mut bytes = request();
        for (at, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    });
    prop_oneof![5 => changed, 1 => prop::collection::vec(any::<u8>(), 1..100)]
}

/// All that comes back until either side closes the connection.
async fn answer(world: &World, bytes: &[u8]) -> String {
    let mut socket = world.client.begin(bytes).await;
    // The server may have closed already.
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(ANSWER_MAX, socket.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection hangs");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bytes_are_answered_or_the_connection_is_closed() {
    let edge = Edge::new();
    edge.each(&bytes(), async |world, bytes| {
        let answer = answer(world, &bytes).await;
        let status = answer.get(9..12).and_then(|status| status.parse::<u16>().ok());
        let accepted = status == Some(202);
        let refused = status.is_some_and(|status| (400..500).contains(&status));
        prop_assert!(answer.is_empty() || accepted || refused, "{answer}");
        Ok(())
    });
}
