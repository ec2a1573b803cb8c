//! A full disk: acknowledged messages stay, others are refused, and with room again the service continues.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::world::{Kind, Node, SOON, World, until};

/// Bytes of a message's body: some dozens of messages fill the room that is left.
const BODY_BYTES: usize = 10_000;
/// How much its files may grow.
const ROOM_BYTES: u64 = 500_000;
/// More messages than fit into the room.
const SENDS_MAX: usize = 1_000;

async fn send(node: &Node, number: usize) -> (u16, Value) {
    let sms = json!({
        "from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "x".repeat(BODY_BYTES),
    });
    let answer = node
        .post_with_key("/api/messages/sms", &format!("key-{number}"), &sms)
        .await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing_and_heals() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node_that_survives_full_files().await;
    let mut acknowledged: HashMap<usize, Value> = HashMap::new();
    for number in 0..20 {
        let (status, body) = send(&node, number).await;
        assert_eq!(status, 202);
        acknowledged.insert(number, body["id"].clone());
    }
    world.until_all_final(SOON).await;

    node.limit_files(Some(world.largest_file_bytes() + ROOM_BYTES))
        .await;
    let mut refused = Vec::new();
    for number in 20..SENDS_MAX {
        let (status, body) = send(&node, number).await;
        match status {
            202 => drop(acknowledged.insert(number, body["id"].clone())),
            status => {
                assert_eq!(status, 503, "{body}");
                refused.push(number);
            }
        }
        if refused.len() == 10 {
            break;
        }
    }
    assert_eq!(refused.len(), 10, "the room was not used up");
    node.get("/healthz").await.expect(200);
    node.get("/api/messages").await.expect(200);

    node.limit_files(None).await;
    until("there is room again", SOON, async || {
        let (status, _) = send(&node, SENDS_MAX).await;
        (status == 202).then_some(())
    })
    .await;
    for (number, id) in &acknowledged {
        let (status, body) = send(&node, *number).await;
        assert_eq!((status, &body["id"]), (202, id));
    }
    for number in &refused {
        assert_eq!(send(&node, *number).await.0, 202);
    }
    world.until_all_final(SOON).await;
    let all = acknowledged.len() + refused.len() + 1;
    assert_eq!(world.count("messages").await, all);
    assert_eq!(world.count("attempts where outcome = 'success'").await, all);
    assert_eq!(
        world.ledger().len(),
        all,
        "a message was sent twice\n{}",
        node.log()
    );
    node.stop().await;
}
