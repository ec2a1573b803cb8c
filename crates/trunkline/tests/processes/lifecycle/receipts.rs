//! Receipts that come before, during and after a call, while nodes are killed: none is lost.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::Entropy;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{Client, Id, Kind, SOON, Targets, World, on_both_databases, text, until};

const CLIENTS: u64 = 6;
const KILLS: usize = 6;
const RECEIPTS_PER_KILL: usize = 60;
/// A call takes this long; receipts come up to three times as late.
const CALL_MS: u64 = 20;

on_both_databases!(
    kills_lose_no_receipt,
    simulated_receipts_end_in_the_right_status,
    a_simulated_receipt_proves_that_a_timed_out_call_was_taken
);

async fn kills_lose_no_receipt(kind: Kind) {
    let world = World::new(kind)
        .set("API_PROVIDER_LATENCY_MS", CALL_MS)
        .set("API_WORKER_CALL_TIMEOUT_MS", 500)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 2)
        .set("API_WORKER_POLL_MS", 50);
    let nodes = if kind == Kind::Sqlite { 1 } else { 2 };
    let mut running = Vec::new();
    for _ in 0..nodes {
        running.push(world.start_node().await);
    }
    let targets = Targets::of(&running);
    let received: Arc<Mutex<BTreeSet<Id>>> = Arc::default();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(send_and_receive(number, targets.clone(), Arc::clone(&received)));
    }
    for kill in 0..KILLS {
        let goal = received.lock().len() + RECEIPTS_PER_KILL;
        until("receipts are accepted", SOON, async || {
            (received.lock().len() >= goal).then_some(())
        })
        .await;
        let place = kill % nodes;
        running.remove(place).kill().await;
        running.insert(place, world.start_node().await);
        targets.replace(place, &running[place]);
    }
    clients.shutdown().await;
    world.until_all_final(SOON).await;
    let received = received.lock().clone();
    until("every accepted receipt is applied", SOON, async || {
        let contents = world.contents().await;
        let delivered: BTreeSet<Id> = contents
            .messages
            .into_iter()
            .filter(|message| message.status == "delivered")
            .map(|message| message.id)
            .collect();
        received.is_subset(&delivered).then_some(())
    })
    .await;
    println!("{} receipts through {KILLS} kills on {kind:?}", received.len());
}

/// Sends messages and reports each as delivered, at a random moment around its call.
async fn send_and_receive(number: u64, targets: Targets, received: Arc<Mutex<BTreeSet<Id>>>) {
    let client = Client::new().with_timeout(Duration::from_secs(5));
    let random = Entropy::from_seed(number);
    loop {
        let post = async |path: &str, body| {
            let url = format!("{}{path}", targets.pick(random.next_u64() as usize % 8).url);
            let answer = client.ask(Method::POST, &url, &[], Some(&body)).await;
            answer.ok().filter(|answer| answer.status == 202)
        };
        let message = json!({"channel": "sms", "from": "+12016661234", "to": format!("+1804555{number:04}"), "body": "Hi"});
        let Some(accepted) = post("/api/messages", message).await else {
            continue;
        };
        let id = text(&accepted.json()["id"]);
        tokio::time::sleep(Duration::from_millis(random.next_u64() % (3 * CALL_MS))).await;
        let receipt = json!({"message_id": id, "status": "delivered"});
        if let Some(answer) = post("/api/webhooks/receipts", receipt).await {
            assert_eq!(answer.json(), json!({"status": "accepted"}));
            received.lock().insert(Id::of(&id));
        }
    }
}

async fn simulated_receipts_end_in_the_right_status(kind: Kind) {
    for (delivered, undelivered, status) in [
        (100, 0, "delivered"),
        (0, 100, "undelivered"),
        (0, 0, "dispatched"),
    ] {
        let world = World::new(kind)
            .set("API_PROVIDER_RECEIPTS_DELIVERED_PCT", delivered)
            .set("API_PROVIDER_RECEIPTS_UNDELIVERED_PCT", undelivered)
            .set("API_PROVIDER_RECEIPTS_DUPLICATE_PCT", 50)
            .set("API_PROVIDER_RECEIPTS_DELAY_MS", 10);
        let node = world.start_node().await;
        for number in 0..20 {
            let message = json!({"channel": "email", "from": "a@example.com", "to": format!("b{number}@example.com"), "body": "Hi"});
            let accepted = node.post("/api/messages", &message).await.expect(202);
            let path = format!(
                "/api/messages/{}?wait_ms=30000&until={status}",
                text(&accepted["id"])
            );
            let shown = node.get(&path).await.expect(200);
            assert_eq!(
                (&shown["status"], &shown["wait"]),
                (&json!(status), &json!("met")),
                "{shown}"
            );
        }
        node.stop().await;
    }
}

/// Every call times out and every message is taken. A receipt that comes before the attempt is on record waits for it; a later
/// one calls the retry off.
async fn a_simulated_receipt_proves_that_a_timed_out_call_was_taken(kind: Kind) {
    for delay_ms in [0, 400] {
        let world = World::new(kind)
            .set("API_PROVIDER_TIMEOUT_PCT", 100)
            .set("API_PROVIDER_TIMEOUT_TAKEN_PCT", 100)
            .set("API_PROVIDER_RECEIPTS_DELIVERED_PCT", 100)
            .set("API_PROVIDER_RECEIPTS_DELAY_MS", delay_ms)
            .set("API_WORKER_CALL_TIMEOUT_MS", 100)
            .set("API_WORKER_BACKOFF_BASE_MS", 3_600_000)
            .set("API_WORKER_BACKOFF_MAX_MS", 3_600_000);
        let node = world.start_node().await;
        let message = json!({"channel": "sms", "from": "+12016661234", "to": "+18045551234", "body": "Hi"});
        let accepted = node.post("/api/messages", &message).await.expect(202);
        let path = format!(
            "/api/messages/{}?wait_ms=30000&until=delivered",
            text(&accepted["id"])
        );
        let shown = node.get(&path).await.expect(200);
        let attempts = shown["attempts"].as_array().unwrap();
        assert_eq!(
            (&shown["status"], attempts.len(), &attempts[0]["outcome"]),
            (&json!("delivered"), 1, &json!("timeout")),
            "{shown}"
        );
        assert_eq!(shown.get("next_attempt_at"), None, "{shown}");
        world.until_all_final(SOON).await;
        let calls = world.ledger();
        assert_eq!((calls.len(), calls[0].taken), (1, true));
        node.stop().await;
    }
}
