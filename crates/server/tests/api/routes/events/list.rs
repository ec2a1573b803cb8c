use std::time::Duration;

use serde_json::{Value, json};
use store::Events;

use super::{all, types};
use crate::world::{Fault, World, sms, sms_webhook, with};

/// Longer than any test runs: an answer comes because of what happened.
const LONG: &str = "wait_ms=30000";

#[tokio::test]
async fn events_are_listed_in_order_with_what_they_are_about() {
    let world = World::new().await;
    let empty = world.get("/api/events").await.expect(200).json();
    assert_eq!(
        empty,
        json!({"items": [], "meta": {"next_cursor": "0000000000000000"}})
    );
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    let blocked = json!({"message_id": id, "status": "undelivered", "error_code": "blocked"});
    world.post("/api/webhooks/receipts", &blocked).await.expect(202);
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "b"))
        .await
        .expect(202);
    let events = all(&world).await;
    let expected = [
        "conversation.created",
        "message.accepted",
        "message.dispatched",
        "message.undelivered",
        "message.received",
    ];
    assert_eq!(types(&events), expected);
    assert!(events.is_sorted_by_key(|event| event["id"].as_str().unwrap().to_owned()));
    let undelivered = &events[3];
    assert_eq!(
        *undelivered,
        json!({
            "id": undelivered["id"], "type": "message.undelivered", "at": undelivered["at"],
            "data": {"message_id": id, "conversation_id": "1", "error_code": "blocked"},
        })
    );
}

#[tokio::test]
async fn a_failed_message_says_why() {
    let world = World::with(|settings| settings.engine.dispatch.attempts_max = 1).await;
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "failed").await;
    let failed = world
        .get("/api/events?type=message.failed")
        .await
        .expect(200)
        .json();
    assert_eq!(
        failed["items"][0]["data"],
        json!({"message_id": id, "conversation_id": "1", "reason": "exhausted", "error_code": "provider_error"})
    );
}

#[tokio::test]
async fn events_are_walked_by_cursor_and_by_type() {
    let world = World::new().await;
    for number in 0..5 {
        let id = world.sent(&with(&sms("a"), "body", number.to_string())).await;
        world.until(&id, "dispatched").await;
    }
    let events = all(&world).await;
    for (filter, limit) in [
        ("", 1),
        ("", 2),
        ("", 100),
        ("&type=message.accepted", 2),
        ("&type=conversation.created,message.dispatched", 3),
    ] {
        let wanted = |event: &&Value| filter.is_empty() || filter.contains(event["type"].as_str().unwrap());
        let expected: Vec<Value> = events.iter().filter(wanted).cloned().collect();
        let (mut walked, mut after) = (Vec::new(), "oldest".to_owned());
        loop {
            let page = world
                .get(&format!("/api/events?after={after}&limit={limit}{filter}"))
                .await
                .expect(200)
                .json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            walked.extend(items.clone());
            let next = page["meta"]["next_cursor"].as_str().unwrap().to_owned();
            if items.is_empty() {
                break;
            }
            assert!(next > after || after == "oldest");
            after = next;
        }
        assert_eq!(walked, expected, "{filter} {limit}");
    }
    for (query, pointer) in [
        ("after=1", "after"),
        ("after=00000000000000010", "after"),
        ("after=newest", "after"),
        ("type=message.sent", "type"),
        ("type=message.accepted,", "type"),
        ("limit=many", "limit"),
        ("wait_ms=30001", "wait_ms"),
    ] {
        world
            .get(&format!("/api/events?{query}"))
            .await
            .expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn a_read_waits_for_an_event_of_its_types() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    let after = all(&world).await.last().unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (client, path) = (
        world.client,
        format!("/api/events?after={after}&type=message.delivered&{LONG}"),
    );
    let asking = tokio::spawn(async move { client.get(&path).await });
    world.sent(&sms("b")).await;
    world.receipt(&id, "delivered").await;
    let page = asking.await.unwrap().expect(200).json();
    assert_eq!(types(page["items"].as_array().unwrap()), ["message.delivered"]);
    // What is there already is not waited for, and a wait in vain is empty, with a cursor.
    let at_once = world
        .get(&format!("/api/events?limit=1&{LONG}"))
        .await
        .expect(200)
        .json();
    assert_eq!(at_once["items"].as_array().unwrap().len(), 1);
    let vain = world
        .get("/api/events?type=message.canceled&wait_ms=20")
        .await
        .expect(200)
        .json();
    assert_eq!(vain["items"], json!([]));
    assert!(vain["meta"]["next_cursor"].as_str().unwrap() > after.as_str());
}

#[tokio::test]
async fn a_cursor_older_than_what_is_kept_is_gone() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    let first = all(&world).await[0]["id"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(60));
    world
        .store
        .purge_events(Duration::from_secs(1), 1_000)
        .await
        .unwrap();
    let kept = world.sent(&sms("b")).await;
    world.until(&kept, "dispatched").await;
    let gone = world
        .get(&format!("/api/events?after={first}"))
        .await
        .expect_problem(410, "events_expired");
    let events = all(&world).await;
    assert_eq!(types(&events), ["message.accepted", "message.dispatched"]);
    // The problem says where to go on.
    let detail = gone.json()["detail"].as_str().unwrap().to_owned();
    let oldest = detail.split_whitespace().find_map(|word| {
        let word = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        (word.len() == 16).then(|| word.to_owned())
    });
    let page = world
        .get(&format!("/api/events?after={}", oldest.unwrap()))
        .await
        .expect(200);
    assert_eq!(page.json()["items"], json!(events));
}

#[tokio::test]
async fn events_need_the_store() {
    let world = World::new().await;
    world.store.set(Fault::Away);
    for path in ["/api/events", "/api/events/stream"] {
        world.get(path).await.expect_problem(503, "store_unavailable");
    }
}
