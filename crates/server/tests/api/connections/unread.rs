//! Requests that are refused before their body is read.

use engine::LimitSettings;
use tokio::io::AsyncWriteExt;
use trunkline_server::ApiKeys;

use super::{exchange, is_usable, next_answer, until_closed};
use crate::world::{World, sms, sms_webhook, with};

const JSON: &str = "content-type: application/json";
/// More than is read of a refused body.
const LARGE: usize = 4 << 20;

fn head(line: &str, headers: &str, length: usize) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\ncontent-length: {length}\r\n")
}

fn request(line: &str, headers: &str, bytes: usize) -> String {
    format!("{}\r\n{}", head(line, headers, bytes), "x".repeat(bytes))
}

/// Requests that are refused, and how.
fn refused() -> Vec<(&'static str, &'static str, u16)> {
    let send = "POST /api/messages/sms";
    vec![
        (send, "content-type: text/plain", 415),
        (
            send,
            "content-type: application/json\r\ncontent-encoding: gzip",
            415,
        ),
        ("POST /api/messages/sms?unknown=1", JSON, 400),
        (send, "content-type: application/json\r\nidempotency-key: ", 400),
        (send, "content-type: application/json\r\nhost: other", 400),
        ("POST /api/webhooks/sms", "content-type: text/plain", 415),
        ("PUT /api/provider/mock/config", "content-type: text/plain", 415),
        ("POST /nowhere", JSON, 404),
        ("DELETE /api/messages", JSON, 405),
        ("GET /api/messages/nobody", JSON, 404),
        ("POST /api/messages/nobody/redrive", JSON, 404),
        ("GET /healthz", JSON, 200),
    ]
}

#[tokio::test]
async fn a_connection_stays_open_after_a_refusal() {
    let world = World::new().await;
    for (line, headers, status) in refused() {
        let mut socket = world.client.begin("").await;
        for _ in 0..2 {
            let answer = exchange(&mut socket, request(line, headers, 100_000)).await;
            assert_eq!(
                (answer.status, answer.closes()),
                (status, false),
                "{line} {headers}"
            );
        }
        assert!(is_usable(&mut socket).await, "{line} {headers}");
    }
    // Too large for a message, small enough to be read.
    let mut socket = world.client.begin("").await;
    let answer = exchange(&mut socket, request("POST /api/messages/sms", JSON, 300_000)).await;
    assert_eq!((answer.status, answer.closes()), (413, false));
    assert!(is_usable(&mut socket).await);
}

#[tokio::test]
async fn a_connection_stays_open_after_a_401_and_a_429() {
    let world = World::with(|settings| settings.server.api_keys = ApiKeys::new(["first-key"])).await;
    let mut socket = world.client.begin("").await;
    for _ in 0..2 {
        let answer = exchange(&mut socket, request("POST /api/messages/sms", JSON, 100_000)).await;
        assert_eq!((answer.status, answer.closes()), (401, false));
    }
    let world = World::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(1, 1, 1);
    })
    .await;
    for path in ["/api/messages/sms", "/api/webhooks/sms"] {
        let mut socket = world.client.begin("").await;
        let line = format!("POST {path}");
        for status in [400, 429, 429] {
            let answer = exchange(&mut socket, request(&line, JSON, 100_000)).await;
            assert_eq!((answer.status, answer.closes()), (status, false), "{path}");
        }
        assert!(is_usable(&mut socket).await);
    }
}

/// A client that writes all of its request before it reads, as most do, must not find its connection reset.
#[tokio::test]
async fn a_client_that_sends_too_much_gets_its_answer() {
    let world = World::new().await;
    let too_large = ("POST /api/messages/sms", JSON, 413);
    for (line, headers, status) in refused().into_iter().chain([too_large]) {
        let mut socket = world.client.begin("").await;
        let answer = exchange(&mut socket, request(line, headers, LARGE)).await;
        assert_eq!(
            (answer.status, answer.closes()),
            (status, true),
            "{line} {headers}"
        );
        until_closed(&mut socket).await;
    }
    let chunk = format!("{:x}\r\n{}\r\n", LARGE, "x".repeat(LARGE));
    let chunked = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    let mut socket = world.client.begin("").await;
    let answer = exchange(&mut socket, chunked).await;
    assert_eq!((answer.status, answer.closes()), (413, true));
    until_closed(&mut socket).await;
    // Not a request: the parser answers without a document.
    let mut socket = world.client.begin("").await;
    let absurd = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(LARGE));
    assert_eq!(exchange(&mut socket, absurd).await.status, 431);
    until_closed(&mut socket).await;
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_refused_body_that_does_not_come_is_not_waited_for_long() {
    let world = World::new().await;
    let mut socket = world.client.begin("").await;
    let answer = exchange(&mut socket, head("POST /nowhere", JSON, 1_000) + "\r\nx").await;
    assert_eq!((answer.status, answer.closes()), (404, true));
    until_closed(&mut socket).await;
}

#[tokio::test]
async fn continue_is_sent_only_for_a_body_that_is_read() {
    let world = World::new().await;
    let expecting = |line: &str, headers: &str, length: usize| {
        head(line, headers, length) + "expect: 100-continue\r\n\r\n"
    };
    let too_large = ("POST /api/messages/sms", JSON, 413);
    for (line, headers, status) in refused().into_iter().chain([too_large]) {
        for length in [10_000_000, 300_000] {
            let mut socket = world.client.begin("").await;
            let answer = exchange(&mut socket, expecting(line, headers, length)).await;
            assert_eq!(
                (answer.status, answer.closes()),
                (status, true),
                "{line} {headers}: {}",
                answer.head
            );
            until_closed(&mut socket).await;
        }
    }
    let body = sms("a").to_string();
    let mut socket = world.client.begin("").await;
    let begin = expecting("POST /api/messages/sms", JSON, body.len());
    assert_eq!(exchange(&mut socket, begin).await.status, 100);
    let answer = exchange(&mut socket, body).await;
    assert_eq!((answer.status, answer.closes()), (202, false));
    assert!(is_usable(&mut socket).await);
}

#[tokio::test]
async fn a_compressed_body_is_not_taken_for_json() {
    let world = World::new().await;
    for (path, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/webhooks/sms", sms_webhook("1", "a")),
    ] {
        for coding in ["gzip", "GZIP", "deflate, identity", "identity, br", "x"] {
            let request = world.client.request("POST", path).json(&body);
            let response = request.header("content-encoding", coding).send().await;
            let response = response.expect_problem(415, "unsupported_media_type");
            assert!(response.text().contains("Content-Encoding"), "{response}");
        }
        for coding in ["identity", "Identity", "", "identity, identity"] {
            let request = world.client.request("POST", path).json(&body);
            request
                .header("content-encoding", coding)
                .send()
                .await
                .expect(202);
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let world = World::new().await;
    let marked = |text: &str| format!("\u{feff}{text}");
    for (path, body) in [
        ("/api/messages/sms", sms("\u{feff}a")),
        ("/api/webhooks/sms", sms_webhook("1", "\u{feff}a")),
    ] {
        let post = |body: String| {
            let request = world.client.request("POST", path);
            request.text("application/json", body)
        };
        let id = post(marked(&body.to_string())).send().await.expect(202).id();
        // Only before the document: a mark within a text belongs to the text.
        assert_eq!(world.message(&id).await["body"], "\u{feff}a");
        post(marked(&marked(&body.to_string())))
            .send()
            .await
            .expect_invalid(&[""]);
        post("\u{feff}".to_owned()).send().await.expect_invalid(&[""]);
    }
    // With and without a mark it is the same request.
    let keyed = |body: String| {
        let request = world.client.request("POST", "/api/messages/sms");
        request
            .text("application/json", body)
            .header("idempotency-key", "k")
    };
    let body = with(&sms("a"), "from", "+12016661235").to_string();
    let first = keyed(body.clone()).send().await.expect(202);
    let second = keyed(marked(&body)).send().await.expect(202);
    assert_eq!((second.id(), second.is_replay()), (first.id(), true));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_after_a_refusal() {
    let world = World::new().await;
    let mut socket = world.client.begin("").await;
    let refused = request("POST /nowhere", JSON, 10_000);
    let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket
        .write_all(format!("{refused}{health}{refused}{health}").as_bytes())
        .await
        .unwrap();
    for status in [404, 200, 404, 200] {
        assert_eq!(next_answer(&mut socket).await.status, status);
    }
}
