//! `trunkline serve --test`.

use hyper::Method;
use serde_json::{Value, json};

use super::failed;
use crate::world::{Kind, Node, World, text};

/// More than the default limits of an address and of a sender allow.
const SENDS_AT_ONCE: usize = 200;

fn sms() -> Value {
    json!({"channel": "sms", "from": "+12016661234", "to": "+18045551234", "body": "Hello!"})
}

async fn send(node: &Node) -> String {
    text(&node.post("/api/messages", &sms()).await.expect(202)["id"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_line_is_its_url_and_a_send_to_it_is_taken_at_once() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_test_server(&[]).await;
    let id = send(&node).await;
    let port = node.url.strip_prefix("http://127.0.0.1:").unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), 0);
    assert_eq!(node.greeting(), format!("{{\"url\": \"{}\"}}\n", node.url));
    let path = format!("/api/messages/{id}?wait_ms=30000&until=final");
    let message = node.get(&path).await.expect(200);
    assert_eq!(message["status"], "dispatched", "{message}");
    node.stop().await;
    let names: Vec<String> = std::fs::read_dir(world.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("node-"))
        .collect();
    assert!(names.is_empty(), "it leaves files: {names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_in_one_directory_share_nothing() {
    let world = World::new(Kind::Sqlite);
    let (one, other) = tokio::join!(world.start_test_server(&[]), world.start_test_server(&[]));
    assert_ne!(one.url, other.url);
    let id = send(&one).await;
    one.get(&format!("/api/messages/{id}")).await.expect(200);
    other
        .get(&format!("/api/messages/{id}"))
        .await
        .expect_problem(404);
    one.stop().await;
    send(&other).await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sends_at_once_meet_no_limit() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_test_server(&[]).await;
    let bodies = vec![sms(); SENDS_AT_ONCE];
    for answer in node.post_at_once("/api/messages", &[], &bodies).await {
        answer.expect(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_loopback_it_needs_no_keys_and_answers_to_every_name() {
    let world = World::new(Kind::Sqlite);
    let everywhere = ("API_BIND", "0.0.0.0:0");
    let node = world.start_test_server(&[everywhere]).await;
    assert!(node.url.starts_with("http://127.0.0.1:"), "{}", node.url);
    send(&node).await;
    let as_container = [("host", "trunkline.internal:8080")];
    node.ask(Method::POST, "/api/messages", &as_container, Some(&sms()))
        .await
        .expect(202);

    // A database that lasts is real. The world's settings name one.
    let lasting = world.set(everywhere.0, everywhere.1);
    let refused = failed(&lasting.run(&["serve", "--test"]).await);
    assert!(
        refused.contains("API_BIND: beyond loopback (127.0.0.1), set API_KEYS"),
        "{refused}"
    );
}
