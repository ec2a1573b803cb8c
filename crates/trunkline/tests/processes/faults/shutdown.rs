use std::time::Duration;

use serde_json::json;

use crate::world::{
    Kind, Load, Node, Offer, Pace, SOON, Stopwatch, Targets, World, on_both_databases, until,
};

on_both_databases!(
    a_stop_under_load_loses_no_message_and_wastes_no_attempt,
    a_call_that_ends_in_time_is_waited_for,
    a_call_that_takes_too_long_is_left,
    a_second_signal_ends_it_at_once
);

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(2),
    timeout: SOON,
};
/// Far less than the lease: a message that was not given back would wait until its lease expires.
const AFTER_RESTART_MAX: Duration = Duration::from_secs(30);

async fn a_stop_under_load_loses_no_message_and_wastes_no_attempt(kind: Kind) {
    // Slower than the load, so that every place a message can be in is full: calls, the lane's queue, the outbox.
    let world = World::new(kind)
        .set("API_PROVIDER_LATENCY_MS", 100)
        .set("API_WORKER_CONCURRENCY", 4)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 300);
    let mut node = world.start_node().await;
    let load = Load::start(&Targets::of([&node]), PACE);
    load.until_accepted(300).await;
    let watch = Stopwatch::start();
    node.signal_terminate().await;
    let status = node.exit(SOON).await;
    let took = watch.elapsed();
    let mut report = load.stop().await;
    assert!(status.success(), "{status}\n{}", node.log());

    let summary = world.audit(&report.offers).await;
    assert!(
        summary.waiting > 20,
        "there was nothing left to give back: {summary}"
    );
    assert_eq!(
        summary.leased,
        0,
        "entries left leased: {summary}\n{}",
        node.log()
    );
    assert_eq!(summary.ambiguous, 0, "tries burned: {summary}");
    assert_eq!(
        summary.calls, summary.attempts,
        "calls without a recorded attempt: {summary}"
    );
    println!(
        "stopped on {kind:?} in {took:?}: {summary}, {} requests cut off",
        report.unanswered()
    );

    let world = world
        .set("API_PROVIDER_LATENCY_MS", 0)
        .set("API_WORKER_CONCURRENCY", 64);
    let node = world.start_node().await;
    world.until_all_final(AFTER_RESTART_MAX).await;
    repeat_with_keys(&node, &mut report.offers).await;
    let summary = world.audit_final(&report.offers).await;
    assert_eq!((summary.ambiguous, summary.sent_again), (0, 0), "{summary}");
}

/// The other nodes send what a stopping node gives back, without waiting for its leases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_replaced_one_after_another_lose_no_message_and_waste_no_attempt() {
    let world = World::new(Kind::Postgres)
        .set("API_PROVIDER_LATENCY_MS", 50)
        .set("API_WORKER_CONCURRENCY", 8)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 300);
    let mut nodes = vec![world.start_node().await, world.start_node().await];
    let targets = Targets::of(&nodes);
    let load = Load::start(&targets, PACE);
    for replaced in 0..4 {
        load.until_accepted(150).await;
        let place = replaced % 2;
        nodes.remove(place).stop().await;
        nodes.insert(place, world.start_node().await);
        targets.replace(place, &nodes[place]);
    }
    let report = load.stop().await;
    world.until_all_final(AFTER_RESTART_MAX).await;
    let summary = world.audit_final(&report.offers).await;
    println!(
        "nodes replaced under load: {summary}, {} requests found no node",
        report.unanswered()
    );
    assert_eq!((summary.ambiguous, summary.sent_again), (0, 0), "{summary}");
    assert_eq!(summary.calls, summary.attempts, "{summary}");
}

/// Repeats some accepted requests with their keys; `make` checks that the answer is the same.
async fn repeat_with_keys(node: &Node, offers: &mut [Offer]) {
    let accepted = offers
        .iter_mut()
        .filter(|offer| offer.key.is_some() && offer.accepted.is_some());
    for offer in accepted.take(20) {
        offer.make(&node.client, &node.url).await.unwrap().expect(202);
    }
}

/// A node that is stopped during a call of the given length, with the given drain time.
async fn stopping_during_a_call(kind: Kind, call: Duration, drain: Duration) -> (World, Node) {
    let world = World::new(kind)
        .set("API_PROVIDER_LATENCY_MS", call.as_millis())
        .set("API_WORKER_CALL_TIMEOUT_MS", 30_000)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 60)
        .set("API_DRAIN_SECS", drain.as_secs());
    let node = world.start_node().await;
    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &sms).await.expect(202);
    until("the call is under way", SOON, async || {
        (world.ledger().len() == 1).then_some(())
    })
    .await;
    node.signal_terminate().await;
    (world, node)
}

async fn a_call_that_ends_in_time_is_waited_for(kind: Kind) {
    // Longer than the time reserved for recording results after the drain time.
    let (call, drain) = (Duration::from_secs(6), Duration::from_secs(60));
    let (world, mut node) = stopping_during_a_call(kind, call, drain).await;
    let status = node.exit(SOON).await;
    assert!(status.success(), "{status}\n{}", node.log());
    assert_eq!(world.count("attempts where outcome = 'success'").await, 1);
    assert_eq!(world.count("outbox").await, 0, "{}", node.log());
}

async fn a_call_that_takes_too_long_is_left(kind: Kind) {
    let (call, drain) = (Duration::from_secs(28), Duration::from_secs(1));
    let (world, mut node) = stopping_during_a_call(kind, call, drain).await;
    let watch = Stopwatch::start();
    let status = node.exit(SOON).await;
    let took = watch.elapsed();
    assert!(status.success(), "{status}\n{}", node.log());
    assert!(took < call / 2, "it took {took:?}");
    assert!(
        node.log().contains("some calls were not settled"),
        "{}",
        node.log()
    );
    // Its outcome is unknown: the claim of its expired lease records that.
    assert_eq!(world.count("attempts").await, 0);
    assert_eq!(world.count("outbox where leased_until is not null").await, 1);
}

async fn a_second_signal_ends_it_at_once(kind: Kind) {
    // A call that outlasts the test, and a drain that would wait for it.
    let world = World::new(kind)
        .set("API_PROVIDER_LATENCY_MS", 30_000)
        .set("API_WORKER_CALL_TIMEOUT_MS", 30_000)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 60)
        .set("API_DRAIN_SECS", 100);
    let mut node = world.start_node().await;
    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &sms).await.expect(202);
    until("the call is under way", SOON, async || {
        (world.ledger().len() == 1).then_some(())
    })
    .await;
    node.signal_terminate().await;
    until("it is shutting down", SOON, async || {
        node.log().contains("shutting down").then_some(())
    })
    .await;
    node.signal_terminate().await;
    let watch = Stopwatch::start();
    let status = node.exit(SOON).await;
    assert!(
        watch.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        watch.elapsed()
    );
    assert_eq!(status.code(), Some(1), "{status}");
    assert_eq!(
        world.count("messages_with_status where status = 'pending'").await,
        1,
        "accepted is accepted"
    );
}
