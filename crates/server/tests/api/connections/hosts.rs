use trunkline_server::{AllowedHosts, ApiKeys};

use super::exchange;
use crate::world::World;

#[tokio::test]
async fn a_request_names_its_host_exactly_once() {
    let world = World::new().await;
    for (version, hosts) in [
        ("1.1", ""),
        ("1.1", "host: localhost\r\nhost: localhost\r\n"),
        ("1.1", "host: localhost\r\nHost: a\r\n"),
        ("1.0", ""),
    ] {
        for path in ["/healthz", "/api/messages", "/nowhere"] {
            let mut socket = world.client.begin("").await;
            let answer = exchange(&mut socket, format!("GET {path} HTTP/{version}\r\n{hosts}\r\n")).await;
            assert_eq!(answer.status, 400, "{version} {hosts:?} {path}");
            assert_eq!(answer.code(), "invalid");
            assert!(answer.body.contains("\"pointer\":\"Host\""), "{}", answer.body);
        }
    }
    let mut socket = world.client.begin("").await;
    let answer = exchange(&mut socket, "GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 200);
}

/// Otherwise a page in a browser on this machine could send messages, by having its name lead to 127.0.0.1.
#[tokio::test]
async fn without_keys_only_the_names_of_loopback_are_served() {
    let world = World::with(|settings| {
        let hosts = AllowedHosts::loopback_and(["trunkline.internal"]).unwrap();
        settings.server.allowed_hosts = Some(hosts);
    })
    .await;
    let ask = async |target: &str, host: &str| {
        let mut socket = world.client.begin("").await;
        exchange(
            &mut socket,
            format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        )
        .await
    };
    for host in [
        "localhost:8080",
        "LOCALHOST",
        "127.0.0.1",
        "127.1.2.3:99",
        "[::1]:8080",
        "trunkline.internal",
        "TRUNKLINE.internal:1",
    ] {
        assert_eq!(ask("/api/messages", host).await.status, 200, "{host}");
        assert_eq!(
            ask("http://localhost/api/messages", host).await.status,
            200,
            "{host}"
        );
    }
    for host in [
        "evil.example.com",
        "localhost.evil.example.com",
        "127.0.0.1.evil.example.com",
        "localhost@evil.example.com",
        "192.168.1.1",
        "0.0.0.0",
        "[::2]",
        "",
        ":8080",
        "\u{e4}",
    ] {
        for path in ["/api/messages", "/readyz", "/nowhere"] {
            let answer = ask(path, host).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (421, "misdirected"),
                "{host}"
            );
            assert!(answer.body.contains("API_ALLOWED_HOSTS"));
        }
    }
    let target = ask("http://evil.example.com/api/messages", "localhost").await;
    assert_eq!(target.status, 421);
}

#[tokio::test]
async fn with_keys_every_name_is_served() {
    let world = World::with(|settings| {
        settings.server.api_keys = ApiKeys::new(["first-key"]);
        settings.server.allowed_hosts = None;
    })
    .await;
    let request = world.client.request("GET", "/api/messages");
    let request = request.replaced_header("host", "trunkline.example.com");
    let response = request.header("authorization", "Bearer first-key").send().await;
    response.expect(200);
}
