use serde_json::{Value, json};

use super::{
    failed,
    history::{MESSAGES, PAIRS, US, check, customer, lines},
    printed,
};
use crate::world::{Kind, SOON, Stopwatch, World, on_both_databases, until};

on_both_databases!(
    every_message_gets_its_conversation,
    a_backfill_that_was_killed_is_continued,
);

/// A database into which all past messages are imported.
async fn with_past(kind: Kind) -> World {
    let world = World::new(kind);
    world.write_file("past.jsonl", &lines(0..MESSAGES));
    printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    world
}

fn summary(assigned: usize, conversations: usize) -> Value {
    json!({"assigned": assigned, "conversations": conversations, "skipped": 0})
}

async fn backfill(world: &World) -> Value {
    printed(&world.run(&["backfill", "--json"]).await)
}

const ASSIGNED: &str = "messages where conversation_id is not null";

async fn every_message_gets_its_conversation(kind: Kind) {
    let watch = Stopwatch::start();
    let world = with_past(kind).await;
    let imported = watch.elapsed();
    let watch = Stopwatch::start();
    assert_eq!(backfill(&world).await, summary(MESSAGES, PAIRS));
    println!(
        "{MESSAGES} messages of {PAIRS} pairs on {kind:?}: imported in {imported:?}, backfilled in {:?}",
        watch.elapsed()
    );
    assert_eq!(backfill(&world).await, summary(0, 0));
    let conversations = world.conversations().await;
    assert_eq!(conversations.len(), PAIRS);
    check(&conversations, 0..MESSAGES);

    // The service continues their sequences.
    let node = world.start_node().await;
    let reply = json!({"from": US, "to": customer(7), "type": "sms", "body": "still there?"});
    let sent = node.post("/api/messages/sms", &reply).await.expect(202);
    let path = format!("/api/conversations/{}", sent["conversation_id"].as_str().unwrap());
    let conversation = node.get(&path).await.expect(200);
    assert_eq!(conversation["message_count"], MESSAGES / PAIRS + 1);
}

async fn a_backfill_that_was_killed_is_continued(kind: Kind) {
    let world = with_past(kind).await;
    let running = world.start(&["backfill"]);
    until("something is assigned", SOON, async || {
        (world.count(ASSIGNED).await > 0).then_some(())
    })
    .await;
    running.kill().await;
    let survived = world.count(ASSIGNED).await;
    assert!(survived < MESSAGES, "it was not killed in the middle");
    // PostgreSQL may still finish what the killed one had asked for.
    let rest = backfill(&world).await["assigned"].as_u64().unwrap() as usize;
    assert!(rest <= MESSAGES - survived, "{rest} more than {survived}");
    check(&world.conversations().await, 0..MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_backfills_at_once_share_the_work() {
    let world = with_past(Kind::Postgres).await;
    let (one, other) = tokio::join!(backfill(&world), backfill(&world));
    let sum = |field: &str| one[field].as_u64().unwrap() + other[field].as_u64().unwrap();
    assert_eq!(sum("assigned"), MESSAGES as u64);
    assert_eq!(sum("conversations"), PAIRS as u64);
    check(&world.conversations().await, 0..MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_goes_on_meanwhile() {
    const SENDS: usize = 600;
    let world = with_past(Kind::Postgres).await;
    let node = world.start_node().await;
    let running = world.start(&["backfill", "--json"]);
    until("something is assigned", SOON, async || {
        (world.count(ASSIGNED).await > 0).then_some(())
    })
    .await;
    // Last conversation first: the backfill comes from the other end.
    for chunk in (PAIRS - SENDS..PAIRS).rev().collect::<Vec<_>>().chunks(50) {
        let bodies: Vec<Value> = chunk
            .iter()
            .map(|pair| json!({"from": US, "to": customer(*pair), "type": "sms", "body": "meanwhile"}))
            .collect();
        for answer in node.post_at_once("/api/messages/sms", &[], &bodies).await {
            answer.expect(202);
        }
    }
    let summary = printed(&running.output().await);
    assert_eq!(summary["assigned"], MESSAGES);
    let conversations = world.conversations().await;
    assert_eq!(conversations.len(), PAIRS);
    let messages: usize = conversations
        .iter()
        .map(|conversation| conversation.message_count)
        .sum();
    assert_eq!(messages, MESSAGES + SENDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_told_by_its_id() {
    // A national number that was fine when it came in, and a region that says otherwise, cannot make it unreadable; a
    // row that was changed by hand can.
    let world = World::new(Kind::Sqlite);
    world.write_file("past.jsonl", &lines(0..3));
    printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    world.change("update messages set sender = 'a secret name' where body = 'past 1'");
    let output = world.run(&["backfill", "--json"]).await;
    let message = failed(&output);
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counted, json!({"assigned": 2, "conversations": 2, "skipped": 1}));
    let id = world.id_of_unthreaded().await;
    assert!(
        message.replace('-', "").contains(&id),
        "{id} is not in: {message}"
    );
    assert!(!message.contains("secret"), "{message}");
}
