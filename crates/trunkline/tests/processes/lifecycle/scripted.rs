//! Recipients that fail on demand: their scripts hold through kills, and disturb no other message.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use throwaway_postgres::Cluster;

use crate::world::{Id, Kind, Node, SOON, World, connect, on_both_databases, text, until};

on_both_databases!(
    receipts_and_replies_outlive_a_kill,
    recipients_that_always_fail_delay_no_other_message,
    without_sandboxes_they_are_ordinary_recipients,
);

fn sms_to(to: &str) -> Value {
    json!({"channel": "sms", "from": "+12016661234", "to": to, "body": "hello"})
}

fn email_to(to: &str) -> Value {
    json!({"channel": "email", "from": "shop@example.com", "to": to, "body": "hello"})
}

/// So many messages to recipients of their own, half of them texts.
fn to_each(number: u32, word: &str, count: u32) -> Vec<Value> {
    let message = |place: u32| {
        if place.is_multiple_of(2) {
            sms_to(&format!("+1{:03}55501{number}", 200 + place))
        } else {
            email_to(&format!("{word}.{place}@example.test"))
        }
    };
    (0..count).map(message).collect()
}

async fn accepted(node: &Node, messages: &[Value]) -> Vec<Id> {
    let answers = node.post_at_once("/api/messages", &[], messages).await;
    let ids = answers
        .into_iter()
        .map(|answer| Id::of(&text(&answer.expect(202)["id"])));
    ids.collect()
}

/// Nodes that retry fast and whose leases expire soon.
fn hasty(world: World) -> World {
    world
        .set("API_WORKER_POLL_MS", 50)
        .set("API_WORKER_CALL_TIMEOUT_MS", 500)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 4)
        .set("API_WORKER_BACKOFF_BASE_MS", 200)
        .set("API_WORKER_BACKOFF_MAX_MS", 500)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_changes_no_script() {
    const MESSAGES: u32 = 200;
    let url = tokio::task::block_in_place(|| Cluster::shared().create_database());
    let world = hasty(World::on(url.clone()));
    let (first, second) = (world.start_node().await, world.start_node().await);
    let messages = to_each(52, "error-twice", MESSAGES);
    let (ours, theirs) = messages.split_at(messages.len() / 2);
    // No result is recorded, so that the kill cuts off calls.
    let lock = connect(&url).await.unwrap();
    lock.batch_execute("begin; lock table attempts in exclusive mode")
        .await
        .unwrap();
    let (ours, theirs) = tokio::join!(accepted(&first, ours), accepted(&second, theirs));
    until("each message had a call", SOON, async || {
        (world.ledger().len() >= messages.len()).then_some(())
    })
    .await;
    first.kill().await;
    let leased = world.count("outbox where leased_until is not null").await;
    lock.batch_execute("commit").await.unwrap();
    let again = world.start_node().await;
    world.until_all_final(SOON).await;

    let contents = world.contents().await;
    let mut outcomes: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for attempt in contents.attempts {
        outcomes.entry(attempt.message).or_default().push(attempt.outcome);
    }
    let mut unknown = 0;
    for id in ours.iter().chain(&theirs) {
        let (crashed, completed): (Vec<&String>, Vec<&String>) =
            outcomes[id].iter().partition(|outcome| *outcome == "unknown");
        assert_eq!(completed, ["error", "error", "success"], "{id:?}");
        unknown += crashed.len();
    }
    assert!(
        (1..=leased).contains(&unknown),
        "{unknown} unknown attempts, {leased} leases"
    );
    // A crashed call may have taken its message; all others ended as the script says.
    let taken = world.ledger().iter().filter(|call| call.taken).count();
    assert!(
        (MESSAGES as usize..=MESSAGES as usize + unknown).contains(&taken),
        "{taken}"
    );
    println!("{MESSAGES} messages through a kill: {unknown} crashed calls of {leased} leases");
    for node in [second, again] {
        all_breakers_are_closed(&node).await;
        node.stop().await;
    }
}

async fn receipts_and_replies_outlive_a_kill(kind: Kind) {
    let world = hasty(World::new(kind));
    let node = world.start_node().await;
    let mut ids = accepted(&node, &to_each(59, "reply-yes", 40)).await;
    ids.extend(accepted(&node, &to_each(58, "undelivered", 40)).await);
    // Receipts and replies are due a second later.
    world.until_all_final(SOON).await;
    node.kill().await;
    let waiting = world.contents().await.follow_ups.len();
    let node = world.start_node().await;
    until("all receipts and replies have come", SOON, async || {
        (world.count("follow_ups").await == 0).then_some(())
    })
    .await;
    let contents = world.contents().await;
    let (replies, sent): (Vec<_>, Vec<_>) = contents.messages.iter().partition(|message| !message.outbound);
    assert_eq!(sent.len(), ids.len());
    for message in sent {
        let replied: Vec<_> = replies
            .iter()
            .filter(|reply| reply.conversation == message.conversation)
            .collect();
        let expected = if message.status == "delivered" { 1 } else { 0 };
        assert_eq!(replied.len(), expected, "{message:?}");
        for reply in replied {
            assert_eq!((&reply.from, &reply.to), (&message.to, &message.from));
            assert_eq!(reply.body, "YES");
        }
    }
    let count = |status: &str| {
        let with_status = contents
            .messages
            .iter()
            .filter(|message| message.status == status);
        with_status.count()
    };
    assert_eq!(
        (count("delivered"), count("undelivered"), replies.len()),
        (40, 40, 40)
    );
    println!("{waiting} follow-ups waited when the node on {kind:?} was killed");
    node.stop().await;
}

async fn recipients_that_always_fail_delay_no_other_message(kind: Kind) {
    let world = World::new(kind)
        .set("API_WORKER_BACKOFF_BASE_MS", 20)
        .set("API_WORKER_BACKOFF_MAX_MS", 50);
    let node = world.start_node().await;
    let failing = accepted(&node, &to_each(53, "error-always", 50)).await;
    for ordinary in [sms_to("+18045551234"), email_to("anna@example.com")] {
        let id = text(&node.post("/api/messages", &ordinary).await.expect(202)["id"]);
        let path = format!("/api/messages/{id}?wait_ms=1000&until=dispatched");
        let shown = node.get(&path).await.expect(200);
        assert_eq!(shown["wait"], "met", "{shown}");
    }
    world.until_all_final(SOON).await;
    assert_eq!(
        world.count("outbox where failure_reason = 'exhausted'").await,
        failing.len()
    );
    all_breakers_are_closed(&node).await;
    node.stop().await;
}

async fn without_sandboxes_they_are_ordinary_recipients(kind: Kind) {
    let world = World::new(kind).set("API_SANDBOXES", "false");
    let node = world.start_node().await;
    accepted(&node, &to_each(50, "rejected", 4)).await;
    world.until_all_final(SOON).await;
    let contents = world.contents().await;
    assert!(
        contents
            .messages
            .iter()
            .all(|message| message.status == "dispatched")
    );
    let listed = node.get("/api/providers").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    node.stop().await;
}

async fn all_breakers_are_closed(node: &Node) {
    let listed = node.get("/api/providers").await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let states: Vec<_> = items
        .iter()
        .map(|item| (text(&item["name"]), text(&item["breaker"]["state"])))
        .collect();
    let closed = ["email", "scripted", "sms-mms"].map(|name| (name.to_owned(), "closed".to_owned()));
    assert_eq!(states, closed, "{listed}");
    assert!(
        items
            .iter()
            .all(|item| item["breaker"]["last_transition_at"].is_null()),
        "{listed}"
    );
}
