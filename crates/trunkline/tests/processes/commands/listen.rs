use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{failed, told};
use crate::world::{Kind, Node, Receiver, Reply, Running, World, own_addresses, text};

fn listen(world: &World, node: &Node, receiver: &Receiver, more: &[&str]) -> Running {
    let base = ["listen", "--url", &node.url, "--forward-to", &receiver.url];
    world.start(&[&base[..], more].concat())
}

async fn send(node: &Node) -> String {
    let message = json!({"channel": "sms", "from": "+12016661234", "to": "+18045551234", "body": "Hi"});
    text(&node.post("/api/messages", &message).await.expect(202)["id"])
}

async fn receive(node: &Node) {
    let message = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Yes"});
    node.post("/api/provider/mock/inbound", &message)
        .await
        .expect(202);
}

/// The types of the taken events.
fn taken(receiver: &Receiver) -> Vec<String> {
    let calls = receiver.calls().into_iter().filter(|call| call.is_taken());
    calls.map(|call| call.event.kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_forwarded_in_order_and_continue_where_it_was_stopped() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    send(&node).await;
    let receiver = Receiver::start(|_| Reply::of(204)).await;
    let running = listen(&world, &node, &receiver, &["--after", "0000000000000000"]);
    receiver.until_taken(3).await;
    running.interrupt().await;
    let output = running.output().await;
    assert!(output.status.success(), "{}", told(&output));
    let printed = told(&output);
    assert!(printed.contains("\nSigned with whsec_"), "{printed}");
    let (_, cursor) = printed.split_once("--after ").unwrap();
    let cursor = cursor.split_whitespace().next().unwrap();

    receive(&node).await;
    let running = listen(&world, &node, &receiver, &["--after", cursor]);
    receiver.until_taken(4).await;
    running.kill().await;
    let expected = [
        "conversation.created",
        "message.accepted",
        "message.dispatched",
        "message.received",
    ];
    assert_eq!(taken(&receiver), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_and_a_failing_receiver_lose_no_event() {
    let [address] = own_addresses();
    let world = World::new(Kind::Sqlite);
    let node = world.start_node_at(address).await;
    let refused = AtomicUsize::new(0);
    // Each third call fails.
    let receiver = Receiver::start(move |_| {
        let number = refused.fetch_add(1, Ordering::Relaxed);
        Reply::of(if number % 3 == 1 { 500 } else { 200 })
    })
    .await;
    let only = ["--types", "message.received", "--after", "0000000000000000"];
    let running = listen(&world, &node, &receiver, &only);
    receive(&node).await;
    receiver.until_taken(1).await;
    node.kill().await;
    let node = world.start_node_at(address).await;
    for _ in 0..3 {
        receive(&node).await;
    }
    receiver.until_taken(4).await;
    running.interrupt().await;
    let output = running.output().await;
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(taken(&receiver), ["message.received"; 4]);
    let ids: Vec<String> = receiver.calls().into_iter().map(|call| call.event.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(told(&output).contains("Trying again"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_and_a_missing_service_say_what_to_do() {
    let world = World::new(Kind::Sqlite);
    let listen = async |arguments: &[&str]| {
        let base = ["listen", "--url", "http://127.0.0.1:9"];
        failed(&world.run(&[&base[..], arguments].concat()).await)
    };
    let there = ["--forward-to", "http://127.0.0.1:9/hook"];
    let message = listen(&there).await;
    assert!(message.contains("Start a service with `trunkline`"), "{message}");
    let message = listen(&["--forward-to", "localhost:3000"]).await;
    assert!(message.contains("--forward-to: use a URL"), "{message}");
    let message = listen(&[&there[..], &["--secret", "whsec_c2hvcnQ="]].concat()).await;
    assert!(message.contains("24 to 64 bytes"), "{message}");

    let node = world.start_node().await;
    let arguments = [
        "listen",
        "--url",
        &node.url,
        "--forward-to",
        "http://127.0.0.1:9/",
        "--after",
        "x",
    ];
    let message = failed(&world.run(&arguments).await);
    assert!(message.contains("400"), "{message}");
}
