use std::time::Duration;

use domain::Clock;
use serde_json::json;

use super::instant;
use crate::world::{Settings, World, sms, until, with};

#[tokio::test]
async fn a_waiting_message_shows_its_hold() {
    let patient = |settings: &mut Settings| {
        settings.engine.dispatch.backoff =
            resilience::Backoff::new(Duration::from_secs(600), Duration::from_secs(900)).unwrap();
        settings.simulators.instances[0].retry_after = Duration::from_secs(700);
    };
    let calm = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
    let cases = [
        (
            "error_pct",
            "error",
            json!("provider_error"),
            "backoff",
            json!("provider_error"),
        ),
        (
            "timeout_pct",
            "timeout",
            json!("timeout"),
            "backoff",
            json!("timeout"),
        ),
        (
            "ratelimit_pct",
            "rate_limited",
            json!("provider_rate_limited"),
            "rate_limited",
            json!(429),
        ),
    ];
    for (share, outcome, error_code, reason, code) in cases {
        let world = World::with(patient).await;
        world.simulate(with(&calm, share, 100)).await;
        let id = world.sent(&sms("a")).await;
        let waiting = until("the first attempt is on record", async || {
            let message = world.message(&id).await;
            (message["attempts"].as_array().unwrap().len() == 1).then_some(message)
        })
        .await;
        assert_eq!(waiting["status"], "pending");
        let attempt = &waiting["attempts"][0];
        assert_eq!(
            (&attempt["outcome"], &attempt["error_code"]),
            (&json!(outcome), &error_code)
        );
        let next = &waiting["next_attempt_at"];
        assert_eq!(
            waiting["hold"],
            json!({"reason": reason, "code": code, "until": next})
        );
        assert!(instant(next) > world.clock.now());
        assert!(waiting.get("failure").is_none());
    }
}

#[tokio::test]
async fn an_open_breaker_holds_waiting_messages() {
    let world = World::new().await;
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    let id = world.sent(&sms("a")).await;
    let held = until("the breaker is open", async || {
        let message = world.message(&id).await;
        (message["hold"]["reason"] == "breaker_open").then_some(message)
    })
    .await;
    assert_eq!(held["hold"]["code"], 503);
    assert!(instant(&held["hold"]["until"]) > world.clock.now());
    assert!(instant(&held["next_attempt_at"]) >= instant(&held["hold"]["until"]));
}
