use std::time::Duration;

use domain::Clock;
use serde_json::{Value, json};

use super::picture;
use crate::world::{World, email, sms, sms_webhook};

/// A world in which each message fails for good at its first error.
async fn unforgiving() -> World {
    let world = World::with(|settings| {
        settings.engine.dispatch.attempts_max = 1;
        settings.engine.dispatch.lane.breaker.error_threshold = 1_000;
    })
    .await;
    fail_all(&world, true).await;
    world
}

async fn fail_all(world: &World, fail: bool) {
    let error_pct = if fail { 100 } else { 0 };
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": error_pct, "ratelimit_pct": 0}))
        .await;
}

#[tokio::test]
async fn only_a_failed_message_can_be_redriven() {
    let world = unforgiving().await;
    let id = world.sent(&sms("a")).await;
    let redrive = format!("/api/messages/{id}/redrive");
    let failed = world.until(&id, "failed").await;
    assert_eq!(
        failed["failure"],
        json!({"reason": "exhausted", "error_code": "provider_error"})
    );
    assert!(failed.get("hold").is_none() && failed.get("next_attempt_at").is_none());

    fail_all(&world, false).await;
    let response = world.client.request("POST", &redrive).send().await.expect(202);
    assert_eq!(response.json(), json!({"status": "accepted", "id": id}));
    let sent = world.until(&id, "dispatched").await;
    assert!(sent.get("failure").is_none());
    let numbers: Vec<_> = sent["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["attempt_number"].clone(), attempt["outcome"].clone()))
        .collect();
    assert_eq!(
        numbers,
        [(json!(1), json!("error")), (json!(2), json!("success"))]
    );

    let again = world.client.request("POST", &redrive).send().await;
    again.expect_problem(409, "not_failed");
    let inbound = world.post("/api/webhooks/sms", &sms_webhook("1", "a")).await.id();
    let path = format!("/api/messages/{inbound}/redrive");
    let inbound = world.client.request("POST", &path).send().await;
    inbound.expect_problem(409, "not_failed");
}

#[tokio::test]
async fn failed_messages_can_be_redriven_together() {
    let world = unforgiving().await;
    let mut ids = Vec::new();
    for body in [sms("a"), sms("b"), picture(), email("c")] {
        ids.push(world.sent(&body).await);
    }
    for id in &ids {
        world.until(id, "failed").await;
    }
    let route = "/api/messages/redrive";
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &[""]),
        (json!({"note": "no filter", "channel": "sms"}), &["/note"]),
        (json!({"provider": "Twilio!"}), &["/provider"]),
        (json!({"provider": 1}), &["/provider"]),
        (json!({"channel": "fax"}), &["/channel"]),
        (json!({"reason": "bored"}), &["/reason"]),
        (json!({"failed_before": "yesterday"}), &["/failed_before"]),
        (json!({"channel": "sms", "failed_before": 5}), &["/failed_before"]),
    ];
    for (body, pointers) in cases {
        world.post(route, &body).await.expect_invalid(pointers);
    }
    world
        .client
        .request("POST", route)
        .send()
        .await
        .expect_problem(415, "unsupported_media_type");

    fail_all(&world, false).await;
    let long_ago = json!({"failed_before": "2020-01-01T00:00:00Z"});
    let soon = world
        .clock
        .now()
        .saturating_add(Duration::from_secs(60))
        .to_string();
    let cases = [
        (long_ago, 0),
        (json!({"provider": "nobody"}), 0),
        (json!({"reason": "deadline", "provider": "sms-mms"}), 0),
        (json!({"channel": "mms"}), 1),
        (json!({"provider": "sms-mms", "reason": "exhausted"}), 2),
        (json!({"failed_before": soon}), 1),
        (json!({"reason": "exhausted"}), 0),
    ];
    for (filter, redriven) in cases {
        let response = world.post(route, &filter).await.expect(202);
        assert_eq!(response.json(), json!({"redriven": redriven}), "{filter}");
    }
    for id in &ids {
        world.until(id, "dispatched").await;
    }
}
