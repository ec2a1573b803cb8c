use std::time::Duration;

use domain::Clock;
use serde_json::json;

use crate::world::{Fault, World, sms, sms_webhook, until, with};

const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn path(id: &str) -> String {
    format!("/api/messages/{id}/cancel")
}

#[tokio::test]
async fn a_scheduled_message_is_canceled_once_and_never_sent() {
    let world = World::new().await;
    let send_at = world.clock.now().saturating_add(Duration::from_secs(60));
    let id = world.sent(&with(&sms("a"), "send_at", send_at.to_string())).await;
    for _ in 0..2 {
        let canceled = world.client.request("POST", &path(&id)).send().await;
        assert_eq!(
            canceled.expect(200).json(),
            json!({"status": "canceled", "id": id})
        );
    }
    let shown = world.message(&id).await;
    assert_eq!(
        (&shown["status"], &shown["attempts"]),
        (&json!("canceled"), &json!([]))
    );
    assert!(shown.get("hold").is_none() && shown.get("next_attempt_at").is_none());

    world.clock.advance(Duration::from_secs(120));
    let later = world.sent(&sms("b")).await;
    world.until(&later, "dispatched").await;
    assert_eq!(world.calls("sms-mms"), [1]);
    assert_eq!(world.message(&id).await["status"], "canceled");
}

#[tokio::test]
async fn what_a_provider_has_or_may_have_is_not_canceled() {
    let world = World::new().await;
    let refused = async |id: &str| {
        let asked = world.client.request("POST", &path(id)).send().await;
        asked.expect_problem(409, "not_cancelable");
    };
    let dispatched = world.sent(&sms("a")).await;
    world.until(&dispatched, "dispatched").await;
    refused(&dispatched).await;
    let received = world.post("/api/webhooks/sms", &sms_webhook("1", "a")).await;
    refused(&received.expect(202).id()).await;
    world
        .simulate(json!({"timeout_pct": 100, "error_pct": 0, "ratelimit_pct": 0}))
        .await;
    let unsure = world.sent(&sms("b")).await;
    until("an attempt timed out", async || {
        let message = world.message(&unsure).await;
        message["attempts"].get(0).cloned()
    })
    .await;
    refused(&unsure).await;
}

#[tokio::test]
async fn a_cancel_names_a_message_and_says_nothing_else() {
    let world = World::new().await;
    for id in [NOBODY, "1", "%FF"] {
        let asked = world.client.request("POST", &path(id)).send().await;
        asked.expect_problem(404, "not_found");
    }
    let id = world.sent(&sms("a")).await;
    let asked = world.post(&path(&id), &json!({"reason": "a mistake"})).await;
    asked.expect_invalid(&["/reason"]);
}

#[tokio::test]
async fn a_cancel_without_the_store_changes_nothing() {
    let world = World::new().await;
    let send_at = world.clock.now().saturating_add(Duration::from_secs(60));
    let id = world.sent(&with(&sms("a"), "send_at", send_at.to_string())).await;
    world.store.set(Fault::Away);
    let refused = world.client.request("POST", &path(&id)).send().await;
    refused.expect_problem(503, "store_unavailable");
    world.store.set(Fault::None);
    assert_eq!(world.message(&id).await["status"], "scheduled");
}
