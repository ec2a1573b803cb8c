use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Kind, Node, SOON, World};

/// Endless input is cut off after this; the server's own limits are a few seconds.
const CUT_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_input_is_refused_and_other_clients_are_served() {
    const BODY_MAX: usize = 262_144;
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let head = |headers: &str| {
        format!(
            "POST /api/messages/sms HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{headers}\r\n",
            node.authority()
        )
    };
    let with_body = |body: &str| head(&format!("content-length: {}\r\n", body.len())) + body;

    let large = with_body(&"x".repeat(BODY_MAX + 1));
    assert_eq!(answer_to(&node, &large).await, 413);
    let largest = with_body(&"x".repeat(BODY_MAX));
    assert_eq!(
        answer_to(&node, &largest).await,
        400,
        "the limit itself is allowed"
    );
    // Not a byte of it is sent: the number alone is enough, or the body is waited for and the request is too slow.
    let announced = head(&format!("content-length: {}\r\n", u32::MAX));
    assert!([413, 408].contains(&answer_to(&node, &announced).await));
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(answer_to(&node, &head(&many)).await, 431);
    let huge = format!("x-huge: {}\r\n", "y".repeat(64 * 1024));
    assert_eq!(answer_to(&node, &head(&huge)).await, 431);
    for deep in [
        "[".repeat(100_000),
        "{\"a\":".repeat(40_000),
        format!("{{\"body\":{}", "[".repeat(1_000)),
    ] {
        assert_eq!(answer_to(&node, &with_body(&deep)).await, 400);
    }
    for broken in [
        "",
        "nul",
        "{\"from\":\"\\ud800\"}",
        "{}",
        "[]",
        "\"",
        "{\"body\":1e999}",
        "\u{0}",
    ] {
        assert_eq!(answer_to(&node, &with_body(broken)).await, 400, "{broken:?}");
    }
    let nul = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "a\u{0}b"});
    assert_eq!(
        node.post("/api/messages/sms", &nul).await.expect_problem(400),
        "invalid"
    );
    let both = head("content-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n";
    assert_eq!(answer_to(&node, &both).await, 400);
    assert_eq!(answer_to(&node, "\u{1}\u{2}\u{3} / HTTP/9\r\n\r\n").await, 400);
    endless_body_is_cut(&node, &head("transfer-encoding: chunked\r\n")).await;

    assert_eq!(world.count("messages").await, 0);
    let fine = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &fine).await.expect(202);
    assert!(node.log_lines("ERROR").is_empty());
    node.stop().await;
}

/// The status the server answers these bytes with.
async fn answer_to(node: &Node, bytes: &str) -> u16 {
    let mut socket = TcpStream::connect(node.authority()).await.unwrap();
    // The server may answer, and close, before it has read all of it.
    let _ = socket.write_all(bytes.as_bytes()).await;
    let mut start = [0; 12];
    let read = tokio::time::timeout(SOON, socket.read_exact(&mut start)).await;
    read.expect("an answer")
        .unwrap_or_else(|error| panic!("{error}: no answer to {:.80}", bytes));
    let start = String::from_utf8(start.to_vec()).unwrap();
    start
        .strip_prefix("HTTP/1.1 ")
        .unwrap_or_else(|| panic!("{start}"))
        .parse()
        .unwrap()
}

async fn endless_body_is_cut(node: &Node, head: &str) {
    let mut socket = TcpStream::connect(node.authority()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 16 * 1024, "x".repeat(16 * 1024));
    let endless = async { while socket.write_all(chunk.as_bytes()).await.is_ok() {} };
    let cut = tokio::time::timeout(CUT_MAX, endless).await;
    assert!(cut.is_ok(), "the server still reads after {CUT_MAX:?}");
}
