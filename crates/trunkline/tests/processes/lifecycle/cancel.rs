//! A cancel races with the claim: one of them wins.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{Clock, SystemClock};
use hyper::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{Client, Id, Kind, Node, SOON, World, on_both_databases, text};

const RACES: usize = 10_000;
const CLIENTS: usize = 16;
/// How far ahead messages are scheduled, in milliseconds: some race with their cancel, however fast the machine is.
const AHEAD_MS: [u64; 8] = [1, 3, 8, 20, 50, 120, 300, 700];

on_both_databases!(a_canceled_message_was_never_sent);

/// Half of the messages are leased by their accept, the others become due while their cancel is under way.
async fn a_canceled_message_was_never_sent(kind: Kind) {
    let world = World::new(kind)
        .set("API_WORKER_POLL_MS", 5)
        .set("API_PROVIDER_LATENCY_MS", 0)
        .set("API_WORKER_CONCURRENCY", 256);
    let node = Arc::new(world.start_node().await);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(race(Arc::clone(&node), client));
    }
    let mut answers: BTreeMap<Id, u16> = BTreeMap::new();
    while let Some(raced) = clients.join_next().await {
        answers.extend(raced.unwrap());
    }
    world.until_all_final(SOON).await;
    let calls = world.ledger();
    let called: BTreeMap<&Id, usize> = calls.iter().fold(BTreeMap::new(), |mut called, call| {
        *called.entry(&call.message).or_default() += 1;
        called
    });
    let contents = world.contents().await;
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for message in &contents.messages {
        let answer = answers[&message.id];
        *counts.entry(answer).or_default() += 1;
        let times = called.get(&message.id).copied().unwrap_or_default();
        let expected = if answer == 200 {
            ("canceled", 0)
        } else {
            ("dispatched", 1)
        };
        assert_eq!((&*message.status, times), expected, "{answer}: {message:?}");
    }
    println!("{RACES} races on {kind:?}: {counts:?}");
    assert_eq!(counts.values().sum::<usize>(), RACES / CLIENTS * CLIENTS);
    // The race was one.
    assert!(
        counts.len() == 2 && counts.values().all(|count| *count > RACES / 50),
        "{counts:?}"
    );
}

/// So many milliseconds ahead.
fn in_a_moment(clock: &SystemClock, milliseconds: u64) -> String {
    clock
        .now()
        .saturating_add(Duration::from_millis(milliseconds))
        .to_string()
}

async fn race(node: Arc<Node>, number: usize) -> Vec<(Id, u16)> {
    let (client, clock) = (Client::new(), SystemClock::new());
    let mut answers = Vec::new();
    for turn in 0..RACES / CLIENTS {
        let mut message = json!({"channel": "sms", "from": "+12016661234", "to": format!("+1804555{number:04}"),
                                 "body": format!("{number}.{turn}")});
        if turn % 2 == 0 {
            let ahead = AHEAD_MS[turn / 2 % AHEAD_MS.len()];
            message["send_at"] = json!(in_a_moment(&clock, ahead));
        }
        let accepted = node.post("/api/messages", &message).await.expect(202);
        let id = text(&accepted["id"]);
        let url = format!("{}/api/messages/{id}/cancel", node.url);
        let answer = client.ask(Method::POST, &url, &[], None).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        match answer.status {
            200 => assert_eq!(answer.json(), json!({"status": "canceled", "id": id})),
            409 => assert_eq!(answer.code(), "not_cancelable"),
            other => panic!("{other} {}", answer.code()),
        }
        answers.push((Id::of(&id), answer.status));
    }
    answers
}
