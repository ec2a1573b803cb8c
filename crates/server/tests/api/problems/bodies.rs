use std::time::Duration;

use crate::world::{World, read_to_end, sms};

/// Every route that takes a body.
fn with_bodies() -> [(&'static str, &'static str); 8] {
    [
        ("POST", "/api/messages/sms"),
        ("POST", "/api/messages/email"),
        ("POST", "/api/messages"),
        ("POST", "/api/messages/redrive"),
        ("POST", "/api/webhooks/sms"),
        ("POST", "/api/webhooks/email"),
        ("POST", "/api/provider/mock/inbound"),
        ("PUT", "/api/provider/mock/config"),
    ]
}

#[tokio::test]
async fn a_body_without_a_json_content_type_is_refused() {
    let world = World::new().await;
    for (method, path) in with_bodies() {
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "text/json",
            "application/jsonp",
            "multipart/form-data; boundary=json",
            "",
        ] {
            let request = world
                .client
                .request(method, path)
                .text(media_type, sms("a").to_string());
            let response = request.send().await;
            response.expect_problem(415, "unsupported_media_type");
        }
        let nothing_said = world.client.request(method, path).send().await;
        nothing_said.expect_problem(415, "unsupported_media_type");
    }
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let max = 2_000;
    let world = World::with(|settings| settings.server.body_bytes_max = max).await;
    let padded = |bytes: usize| {
        let body = sms("a").to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    for (method, path) in with_bodies() {
        let request = world.client.request(method, path);
        let request = request.text("application/json", padded(max + 1));
        let response = request.send().await.expect_problem(413, "body_too_large");
        assert!(response.json()["detail"].as_str().unwrap().contains("2000"));
    }
    let request = world.client.request("POST", "/api/messages/sms");
    let at_the_limit = request.text("application/json", padded(max));
    at_the_limit.send().await.expect(202);

    // A body without a length.
    let chunks = format!("{:x}\r\n{}\r\n", max, padded(max)).repeat(2);
    let chunked = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let answer = read_to_end(world.client.begin(&chunked).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"),
        "{answer}"
    );
    assert_eq!(world.messages_stored().await, 1);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let world = World::new().await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: 100\r\n\r\n{{\"from\": "
        )
    };
    // Concurrently, because each takes seconds.
    let paths = ["/api/messages/sms", "/api/webhooks/sms", "/api/messages/redrive"];
    let mut connections = Vec::new();
    for path in paths {
        connections.push(world.client.begin(&head(path)).await);
    }
    for (path, connection) in paths.into_iter().zip(connections) {
        let answer = tokio::time::timeout(Duration::from_secs(15), read_to_end(connection)).await;
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(
            answer.contains("\r\ncontent-type: application/problem+json\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
    let timeouts = "trunkline_inbound_rejected_total{reason=\"request_timeout\"}";
    assert_eq!(world.metric(timeouts).await, 1.0);
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_body_that_is_cut_off_leaves_nothing() {
    let world = World::new().await;
    let body = sms("a").to_string();
    let request = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len() + 1
    );
    let connection = world.client.begin(&request).await;
    world.get("/healthz").await.expect(200);
    drop(connection);
    world.get("/healthz").await.expect(200);
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let world = World::new().await;
    let many: String = (0..65).map(|number| format!("x-{number}: a\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(40_000));
    for headers in [many, long] {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        let answer = read_to_end(world.client.begin(&request).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(
            answer.contains("\r\ncontent-type: application/problem+json\r\n")
                && answer.contains("\"code\":\"headers_too_large\""),
            "{answer}"
        );
    }
    // Beyond the limits of the socket there is no request, and so no document.
    let absurd = format!("x-long: {}\r\n", "a".repeat(100_000));
    let request = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{absurd}\r\n");
    let answer = read_to_end(world.client.begin(&request).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn exactly_as_many_headers_and_bytes_as_allowed_pass() {
    const HEADERS: usize = 64;
    const BYTES: usize = 32 * 1_024;
    let world = World::new().await;
    let status = async |headers: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        let answer = read_to_end(world.client.begin(&request).await).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // The request has two already.
    let count = |all: usize| {
        (2..all)
            .map(|number| format!("x-{number}: a\r\n"))
            .collect::<String>()
    };
    assert_eq!(status(&count(HEADERS)).await, "200");
    assert_eq!(status(&count(HEADERS + 1)).await, "431");
    let around = "/healthz".len() + "host: a\r\n".len() + "connection: close\r\n".len() + "x: \r\n".len();
    let long = |all: usize| format!("x: {}\r\n", "a".repeat(all - around));
    assert_eq!(status(&long(BYTES)).await, "200");
    assert_eq!(status(&long(BYTES + 1)).await, "431");
}
