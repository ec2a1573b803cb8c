use std::time::Duration;

use domain::{Clock, Timestamp};
use resilience::Backoff;
use serde_json::{Value, json};

use crate::world::{World, email, mms, sms, until};

async fn reports(world: &World) -> Value {
    let response = world.get("/api/providers").await.expect(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json()
}

fn report(name: &str, channels: &[&str], success: u64) -> Value {
    json!({
        "name": name, "channels": channels,
        "breaker": {
            "state": "closed", "consecutive_failures": 0, "last_transition_at": null, "cooldown_remaining_ms": 0,
        },
        "queue": {"waiting": 0, "leased": 0, "dead": 0, "capped": false},
        "counts": {"success": success, "rate_limited": 0, "error": 0, "rejected": 0, "timeout": 0, "unknown": 0},
    })
}

#[tokio::test]
async fn every_provider_reports_its_breaker_its_queue_and_its_counts() {
    let world = World::new().await;
    let expected = json!({"items": [report("email", &["email"], 0), report("sms-mms", &["sms", "mms"], 0)]});
    assert_eq!(reports(&world).await, expected);
    let picture = mms("", &["https://example.com/a"]);
    for body in [sms("a"), picture, email("b")] {
        let id = world.sent(&body).await;
        world.until(&id, "dispatched").await;
    }
    let expected = json!({"items": [report("email", &["email"], 1), report("sms-mms", &["sms", "mms"], 2)]});
    until("the counts are in", async || {
        (reports(&world).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_open_breaker_and_dead_letters_are_reported() {
    let world = World::with(|settings| {
        settings.engine.dispatch.lane.breaker.error_threshold = 2;
        settings.engine.dispatch.attempts_max = 1;
        settings.engine.dispatch.lane.concurrency = 1;
    })
    .await;
    let before = world.clock.now();
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    for body in ["dies", "dies", "waits", "waits", "waits"] {
        world.sent(&sms(body)).await;
    }
    let troubled = until("two are dead and three wait", async || {
        let report = reports(&world).await["items"][1].clone();
        let queue = json!({"waiting": 3, "leased": 0, "dead": 2, "capped": false});
        (report["queue"] == queue && report["counts"]["error"] == 2).then_some(report)
    })
    .await;
    let breaker = &troubled["breaker"];
    assert_eq!(
        (&breaker["state"], &breaker["consecutive_failures"]),
        (&json!("open"), &json!(2))
    );
    let last_transition_at = Timestamp::parse(breaker["last_transition_at"].as_str().unwrap()).unwrap();
    assert!((before..=world.clock.now()).contains(&last_transition_at));
    assert!(breaker["cooldown_remaining_ms"].as_u64().unwrap() > 0);
    assert_eq!(reports(&world).await["items"][0], report("email", &["email"], 0));

    // After the cool-down, probes succeed and the breaker closes.
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}))
        .await;
    world.clock.advance(Duration::from_secs(60));
    until("the breaker is closed and nothing waits", async || {
        let report = reports(&world).await["items"][1].clone();
        let well = report["breaker"]["state"] == "closed" && report["queue"]["waiting"] == 0;
        (well && report["counts"]["success"] == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_outcome_is_counted() {
    let world = World::with(|settings| {
        let backoff = Backoff::new(Duration::from_secs(600), Duration::from_secs(900));
        settings.engine.dispatch.backoff = backoff.unwrap();
    })
    .await;
    let calm = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
    for share in ["timeout_pct", "error_pct", "ratelimit_pct"] {
        world.simulate(crate::world::with(&calm, share, 100)).await;
        let id = world.sent(&sms("a")).await;
        until("it was tried", async || {
            world.message(&id).await["attempts"].get(0).cloned()
        })
        .await;
    }
    until("the counts are in", async || {
        let counts = reports(&world).await["items"][1]["counts"].clone();
        let expected =
            json!({"success": 0, "rate_limited": 1, "error": 1, "rejected": 0, "timeout": 1, "unknown": 0});
        (counts == expected).then_some(())
    })
    .await;
}
