use serde_json::json;

use crate::world::{World, sms, sms_webhook, with};

/// Longer than any test runs: an answer comes because of what happened.
const LONG: &str = "wait_ms=30000";

#[tokio::test]
async fn a_read_waits_until_the_message_has_the_status() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    let final_now = world
        .get(&format!("/api/messages/{id}?{LONG}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&final_now["wait"], &final_now["status"]),
        (&json!("met"), &json!("dispatched"))
    );
    let asking = world
        .waiting(&format!("/api/messages/{id}?{LONG}&until=delivered,undelivered"))
        .await;
    world.receipt(&id, "undelivered").await;
    let answer = asking.await.unwrap().expect(200).json();
    assert_eq!(
        (&answer["wait"], &answer["status"]),
        (&json!("met"), &json!("undelivered"))
    );
    assert_eq!(answer["receipts"][0]["status"], "undelivered");
}

#[tokio::test]
async fn a_read_that_waits_in_vain_shows_what_is_there() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    for query in ["wait_ms=20&until=delivered", "wait_ms=0&until=failed,canceled"] {
        let answer = world
            .get(&format!("/api/messages/{id}?{query}"))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&answer["wait"], &answer["status"]),
            (&json!("timed_out"), &json!("dispatched"))
        );
    }
    // `wait` is only in answers to requests that waited.
    assert!(world.message(&id).await.get("wait").is_none());
    let unknown = "/api/messages/01890a5d-ac96-774b-bcce-b302099a8057?wait_ms=30000";
    world.get(unknown).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn an_inbound_message_is_final() {
    let world = World::new().await;
    let id = world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202)
        .id();
    let answer = world
        .get(&format!("/api/messages/{id}?{LONG}&until=final"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["wait"], &answer["status"]),
        (&json!("met"), &json!("received"))
    );
}

#[tokio::test]
async fn a_listing_waits_for_as_many_messages_as_asked() {
    let world = World::new().await;
    let path = |count: u32| {
        format!("/api/messages?direction=inbound&to=%2B12016661234&extract=true&{LONG}&count={count}")
    };
    let one = world.waiting(&path(1)).await;
    let two = world.waiting(&path(2)).await;
    world.sent(&sms("no inbound message")).await;
    let first = sms_webhook("1", "Your code is 481516");
    world.post("/api/webhooks/sms", &first).await.expect(202);
    let answer = one.await.unwrap().expect(200).json();
    assert_eq!(
        (&answer["meta"]["wait"], &answer["meta"]["total"]),
        (&json!("met"), &json!(1))
    );
    assert_eq!(answer["items"][0]["extracted"]["codes"], json!(["481516"]));
    assert!(!two.is_finished());
    let second = with(&sms_webhook("2", "b"), "from", "+18045550000");
    world.post("/api/webhooks/sms", &second).await.expect(202);
    assert_eq!(two.await.unwrap().expect(200).json()["meta"]["total"], 2);

    let vain = world
        .get("/api/messages?status=failed&wait_ms=20")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&vain["meta"]["wait"], &vain["items"]),
        (&json!("timed_out"), &json!([]))
    );
    let plain = world.get("/api/messages").await.expect(200).json();
    assert!(plain["meta"].get("wait").is_none());
}

#[tokio::test]
async fn wrong_parameters_of_a_wait_are_refused() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    let single = format!("/api/messages/{id}");
    for (path, pointer) in [
        (format!("{single}?wait_ms=30001"), "wait_ms"),
        (format!("{single}?wait_ms=-1"), "wait_ms"),
        (format!("{single}?wait_ms=1s"), "wait_ms"),
        (format!("{single}?wait_ms=1&until=arrived"), "until"),
        (format!("{single}?wait_ms=1&until=delivered,"), "until"),
        (format!("{single}?until=delivered"), "until"),
        ("/api/messages?count=2".to_owned(), "count"),
        ("/api/messages?wait_ms=1&count=0".to_owned(), "count"),
        ("/api/messages?wait_ms=1&count=10001".to_owned(), "count"),
        ("/api/messages?wait_ms=99999999999".to_owned(), "wait_ms"),
    ] {
        world.get(&path).await.expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_node_stops() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    let reading = world
        .waiting(&format!("/api/messages/{id}?{LONG}&until=delivered"))
        .await;
    let listing = world
        .waiting(&format!("/api/messages?status=failed&{LONG}"))
        .await;
    world.stop().await.unwrap();
    let read = reading.await.unwrap().expect(200).json();
    assert_eq!(read["wait"], "timed_out");
    let listed = listing.await.unwrap().expect(200).json();
    assert_eq!(listed["meta"]["wait"], "timed_out");
}

/// The time that a client asked for says nothing about the node.
#[tokio::test]
async fn a_wait_is_not_measured_as_a_slow_request() {
    let world = World::new().await;
    world
        .get("/api/messages?status=failed&wait_ms=20")
        .await
        .expect(200);
    let counted = "trunkline_http_requests_total{route=\"/api/messages\",method=\"GET\",status=\"200\"}";
    assert_eq!(world.metric(counted).await, 1.0);
    let measured = "trunkline_http_request_seconds_count{route=\"/api/messages\"}";
    assert_eq!(world.metric(measured).await, 0.0);
}
