use std::time::Duration;

use domain::Clock;
use serde_json::{Value, json};

use crate::world::{Fault, World, sms, until, with, without};

const ENDPOINTS: &str = "/api/webhook-endpoints";
const URL: &str = "https://example.com/hooks?key=secret";

async fn create(world: &World, body: &Value) -> Value {
    world.post(ENDPOINTS, body).await.expect(201).json()
}

fn path(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", endpoint["id"].as_str().unwrap())
}

async fn patch(world: &World, endpoint: &Value, body: &Value) -> crate::world::Response {
    world
        .client
        .request("PATCH", &path(endpoint))
        .json(body)
        .send()
        .await
}

#[tokio::test]
async fn an_endpoint_shows_its_secret_only_when_it_is_made_and_rotated() {
    let world = World::new().await;
    let answer = world.post(ENDPOINTS, &json!({"url": URL})).await.expect(201);
    let created = answer.json();
    assert_eq!(answer.header("location"), Some(path(&created).as_str()));
    let secret = created["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let shown = world.get(&path(&created)).await.expect(200).json();
    assert_eq!(shown, without(&created, "secret"));
    assert_eq!(
        shown,
        json!({
            "id": created["id"], "url": URL, "types": null, "payload": "full", "description": null, "enabled": true,
            "created_at": created["created_at"], "delivered_total": 0, "last_delivered_at": null,
            "failing_since": null, "lag": 0.0, "replaying": false,
        })
    );
    let listed = world.get(ENDPOINTS).await.expect(200).json();
    assert_eq!(listed, json!({"items": [shown]}));

    let rotated = world
        .client
        .request("POST", &format!("{}/rotate-secret", path(&created)))
        .send()
        .await;
    let rotated = rotated.expect(200).json();
    assert_ne!(rotated["secret"], created["secret"]);
    assert!(rotated["previous_secret_until"].is_string());
    assert_eq!(rotated.get("lag"), None);
    world.clock.advance(Duration::from_secs(25 * 3_600));
    let later = world.get(&path(&created)).await.expect(200).json();
    assert!(later.get("previous_secret_until").is_none() && later.get("secret").is_none());
}

#[tokio::test]
async fn a_new_secret_is_shown_also_while_no_event_can_be_read() {
    let world = World::new().await;
    world.sent(&sms("text")).await;
    world.store.set(Fault::ReadsNoEvents);
    let created = create(&world, &json!({"url": URL})).await;
    let rotate = format!("{}/rotate-secret", path(&created));
    let rotated = world
        .client
        .request("POST", &rotate)
        .send()
        .await
        .expect(200)
        .json();
    for answer in [&created, &rotated] {
        assert!(answer["secret"].as_str().unwrap().starts_with("whsec_"));
    }
    world.get(&path(&created)).await.expect(503);
}

#[tokio::test]
async fn an_endpoint_is_changed_field_by_field_and_deleted() {
    let world = World::new().await;
    let given = json!({
        "url": URL, "types": ["message.delivered", "message.failed", "message.failed"], "payload": "thin", "description": "Orders",
    });
    let created = create(&world, &given).await;
    assert_eq!(created["types"], json!(["message.delivered", "message.failed"]));
    let cases = [
        (json!({"enabled": false}), "enabled", json!(false)),
        (json!({"enabled": true}), "enabled", json!(true)),
        (json!({"types": null}), "types", Value::Null),
        (
            json!({"types": ["message.received"]}),
            "types",
            json!(["message.received"]),
        ),
        (json!({"payload": "full"}), "payload", json!("full")),
        (json!({"description": null}), "description", Value::Null),
        (
            json!({"url": "http://localhost:3000/hook"}),
            "url",
            json!("http://localhost:3000/hook"),
        ),
    ];
    let mut expected = without(&created, "secret");
    for (change, field, value) in cases {
        expected[field] = value;
        let changed = patch(&world, &created, &change).await.expect(200).json();
        assert_eq!(changed, expected, "{change}");
        assert_eq!(world.get(&path(&created)).await.json(), expected);
    }
    let deleted = world
        .client
        .request("DELETE", &path(&created))
        .send()
        .await
        .expect(204);
    assert!(deleted.body.is_empty());
    for (method, below) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
    ] {
        let target = format!("{}{below}", path(&created));
        world
            .client
            .request(method, &target)
            .send()
            .await
            .expect_problem(404, "not_found");
    }
    patch(&world, &created, &json!({"enabled": true}))
        .await
        .expect_problem(404, "not_found");
    let replay = world
        .post(&format!("{}/replay", path(&created)), &json!({"failed": true}))
        .await;
    replay.expect_problem(404, "not_found");
    world
        .get(&format!("{ENDPOINTS}/1"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_named_and_not_repeated() {
    let world = World::new().await;
    let base = json!({"url": URL});
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &["/url"]),
        (with(&base, "url", ""), &["/url"]),
        (with(&base, "url", "example.com"), &["/url"]),
        (with(&base, "url", "ftp://example.com/secret"), &["/url"]),
        (with(&base, "url", "https://user:secret@example.com/"), &["/url"]),
        (with(&base, "url", "https://example.com/#secret"), &["/url"]),
        (with(&base, "url", "https://example.com:0/"), &["/url"]),
        (with(&base, "url", long), &["/url"]),
        (with(&base, "url", 5), &["/url"]),
        (with(&base, "types", json!([])), &["/types"]),
        (
            with(
                &base,
                "types",
                json!(["message.delivered", "message.sent", "secret"]),
            ),
            &["/types/1", "/types/2"],
        ),
        (with(&base, "types", "message.sent"), &["/types"]),
        (with(&base, "payload", "secret"), &["/payload"]),
        (with(&base, "description", "x".repeat(1_001)), &["/description"]),
        (with(&base, "description", "\u{0}"), &["/description"]),
        (with(&base, "secret", "whsec_a"), &["/secret"]),
    ];
    for (body, pointers) in &cases {
        let refused = world.post(ENDPOINTS, body).await.expect_invalid(pointers);
        let pointers_aside = refused.text().replace("/secret", "");
        assert!(!pointers_aside.contains("secret"), "{refused}");
    }
    assert_eq!(world.get(ENDPOINTS).await.json(), json!({"items": []}));
    let created = create(&world, &base).await;
    for (body, pointers) in [
        (json!({}), &[""]),
        (json!({"url": null}), &[""]),
        (json!({"url": "https://a@b.example/"}), &["/url"]),
        (json!({"types": []}), &["/types"]),
        (json!({"enabled": "yes"}), &["/enabled"]),
    ] {
        patch(&world, &created, &body).await.expect_invalid(pointers);
    }
    let replay = format!("{}/replay", path(&created));
    for (body, pointers) in [
        (json!({}), &[""]),
        (json!({"failed": false}), &[""]),
        (json!({"failed": true, "after": "0000000000000001"}), &[""]),
        (json!({"after": "1"}), &["/after"]),
        (json!({"since": "yesterday"}), &["/since"]),
    ] {
        world.post(&replay, &body).await.expect_invalid(pointers);
    }
    let deliveries = format!("{}/deliveries?status=sent", path(&created));
    world.get(&deliveries).await.expect_invalid(&["status"]);
}

#[tokio::test]
async fn there_are_at_most_a_hundred_endpoints() {
    let world = World::new().await;
    let disabled_first = create(&world, &json!({"url": URL})).await;
    patch(&world, &disabled_first, &json!({"enabled": false}))
        .await
        .expect(200);
    for _ in 1..100 {
        create(&world, &json!({"url": URL, "types": ["message.canceled"]})).await;
    }
    let refused = world.post(ENDPOINTS, &json!({"url": URL})).await;
    refused.expect_problem(409, "too_many_endpoints");
    world
        .client
        .request("DELETE", &path(&disabled_first))
        .send()
        .await
        .expect(204);
    create(&world, &json!({"url": URL})).await;
}

#[tokio::test]
async fn an_endpoint_gets_events_with_their_message_and_a_replay_sends_them_again() {
    let world = World::new().await;
    let before = world.sent(&sms("before")).await;
    world.until(&before, "dispatched").await;
    let types = ["message.dispatched"];
    let full = create(&world, &json!({"url": URL, "types": types})).await;
    let send_at = world.clock.now();
    let body = with(&sms("a"), "metadata", json!({"order": "17"}));
    let id = world.sent(&body).await;
    let taken = until("it got through", async || world.receiver.taken().first().cloned()).await;
    let event = world.get("/api/events?type=message.dispatched").await.json()["items"][1].clone();
    assert!(event["at"].as_str().unwrap() >= send_at.to_string().as_str());
    assert_eq!(taken.id, event["id"]);
    let shown = world.message(&id).await;
    assert_eq!(
        taken.body,
        json!({
            "type": "message.dispatched", "timestamp": event["at"],
            "data": {"message_id": id, "conversation_id": "1", "message": shown},
        })
    );
    let counted = until("it is counted", async || {
        let endpoint = world.get(&path(&full)).await.expect(200).json();
        (endpoint["delivered_total"] == 1).then_some(endpoint)
    })
    .await;
    assert!(counted["last_delivered_at"].is_string());
    let listed = world
        .get(&format!("{}/deliveries", path(&full)))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&listed["items"], &listed["meta"]["total"]),
        (&json!([]), &json!(0))
    );

    patch(&world, &full, &json!({"payload": "thin"}))
        .await
        .expect(200);
    let replay = world
        .post(
            &format!("{}/replay", path(&full)),
            &json!({"after": "0000000000000000"}),
        )
        .await;
    assert_eq!(
        replay.expect(202).json(),
        json!({"status": "accepted", "id": full["id"]})
    );
    let again = until("both came", async || {
        let taken = world.receiver.taken();
        (taken.len() == 3).then_some(taken)
    })
    .await;
    let ids: Vec<_> = again[1..]
        .iter()
        .map(|taken| taken.body["data"]["message_id"].clone())
        .collect();
    assert_eq!(ids, [before, id]);
    assert_eq!(again[2].id, taken.id);
    assert!(again[2].body["data"].get("message").is_none());
}

#[tokio::test]
async fn a_test_shows_what_came_back() {
    let world = World::new().await;
    let endpoint = create(&world, &json!({"url": URL})).await;
    patch(&world, &endpoint, &json!({"enabled": false}))
        .await
        .expect(200);
    let answer = world
        .client
        .request("POST", &format!("{}/test", path(&endpoint)))
        .send()
        .await;
    let report = answer.expect(200).json();
    assert_eq!(
        report,
        json!({"delivered": true, "latency_ms": report["latency_ms"], "status": 204, "error": null, "answer": ""})
    );
    let taken = world.receiver.taken();
    assert_eq!(taken[0].body["type"], "webhook_endpoint.test");
    assert_eq!(
        taken[0].body["data"],
        json!({"webhook_endpoint_id": endpoint["id"]})
    );
    assert_eq!(world.get("/api/events").await.json()["items"], json!([]));
}
