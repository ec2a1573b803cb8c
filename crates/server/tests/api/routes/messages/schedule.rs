use std::time::Duration;

use domain::Clock;
use serde_json::{Value, json};

use super::instant;
use crate::world::{World, email, sms, unified, with};

const HOUR: Duration = Duration::from_secs(3_600);

fn ahead(world: &World, time: Duration) -> String {
    world.clock.now().saturating_add(time).to_string()
}

#[tokio::test]
async fn a_message_is_sent_when_its_time_has_come() {
    let world = World::new().await;
    let send_at = ahead(&world, HOUR);
    let body = with(
        &with(&sms("a"), "send_at", send_at.as_str()),
        "timestamp",
        "2024-11-01T14:00:00Z",
    );
    let id = world.sent(&body).await;
    let shown = world.message(&id).await;
    assert_eq!(shown["status"], "scheduled");
    assert_eq!(instant(&shown["send_at"]), instant(&json!(send_at)));
    // It is the time of the message too.
    assert_eq!(shown["timestamp"], shown["send_at"]);
    assert_eq!(shown["next_attempt_at"], shown["send_at"]);
    let hold = json!({"reason": "scheduled", "code": "scheduled", "until": shown["send_at"]});
    assert_eq!(shown["hold"], hold);
    let listed = world
        .get("/api/messages?status=scheduled")
        .await
        .expect(200)
        .json();
    assert_eq!(listed["meta"]["total"], 1);
    // What lies ahead pins no conversation to the top.
    let conversation = world.get("/api/conversations/1").await.json();
    assert_eq!(conversation["last_activity_at"], shown["processed_at"]);

    world.clock.advance(HOUR);
    let sent = world.until(&id, "dispatched").await;
    assert_eq!(sent["send_at"], shown["send_at"]);
}

#[tokio::test]
async fn a_time_that_has_passed_means_at_once() {
    let world = World::new().await;
    let id = world
        .sent(&with(&sms("a"), "send_at", "2020-01-01T00:00:00Z"))
        .await;
    let shown = world.until(&id, "dispatched").await;
    assert!(shown.get("send_at").is_none());
}

#[tokio::test]
async fn a_message_fails_at_its_own_deadline() {
    let world = World::new().await;
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    let expires_at = ahead(&world, HOUR);
    let id = world
        .sent(&with(&sms("a"), "expires_at", expires_at.as_str()))
        .await;
    let shown = world.message(&id).await;
    assert_eq!(instant(&shown["expires_at"]), instant(&json!(expires_at)));
    world.clock.advance(HOUR);
    let failed = world.until(&id, "failed").await;
    assert_eq!(failed["failure"]["reason"], "deadline");
}

#[tokio::test]
async fn metadata_is_kept_and_shown() {
    let world = World::new().await;
    let metadata = json!({"order": "17", "": "", "name with / and ~": "\u{1f600} é"});
    for (route, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/messages/email", email("a")),
        ("/api/messages", unified(&sms("a"))),
    ] {
        let sent = world
            .post(route, &with(&body, "metadata", metadata.clone()))
            .await;
        let shown = world.message(&sent.expect(202).id()).await;
        assert_eq!(shown["metadata"], metadata, "{route}");
    }
    // An inbound message has none, whatever a provider says.
    let inbound = with(
        &crate::world::sms_webhook("1", "a"),
        "metadata",
        json!({"a": "b"}),
    );
    let received = world.post("/api/webhooks/sms", &inbound).await.expect(202);
    assert!(world.message(&received.id()).await.get("metadata").is_none());
}

#[tokio::test]
async fn what_is_wrong_with_times_and_metadata_is_named() {
    let world = World::new().await;
    let day = 24 * HOUR;
    let many: Value = (0..17)
        .map(|n| (n.to_string(), json!("")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let (year, beyond) = (ahead(&world, 366 * day - HOUR), ahead(&world, 366 * day + HOUR));
    let soon = ahead(&world, HOUR);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"send_at": year}), &[]),
        (json!({"send_at": beyond}), &["/send_at"]),
        (json!({"send_at": "tomorrow"}), &["/send_at"]),
        (json!({"send_at": "2026-12-24T08:00:00"}), &["/send_at"]),
        (json!({"send_at": 1_800_000_000}), &["/send_at"]),
        (json!({"expires_at": soon, "send_at": year}), &["/expires_at"]),
        (json!({"expires_at": soon, "send_at": soon}), &["/expires_at"]),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), &["/expires_at"]),
        (json!({"expires_at": "never"}), &["/expires_at"]),
        (json!({"metadata": many}), &["/metadata"]),
        (json!({"metadata": {"a": "x".repeat(2_047)}}), &[]),
        (json!({"metadata": {"a": "x".repeat(2_048)}}), &["/metadata"]),
        (json!({"metadata": {"a": "\u{0}"}}), &["/metadata"]),
        (json!({"metadata": {"a": 1}}), &["/metadata/a"]),
        (json!({"metadata": "a"}), &["/metadata"]),
        (
            json!({"metadata": null, "send_at": null, "expires_at": null}),
            &[],
        ),
    ];
    for (fields, pointers) in cases {
        let mut body = sms("a");
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = world.post("/api/messages/sms", &body).await;
        if pointers.is_empty() {
            answer.expect(202);
        } else {
            answer.expect_invalid(pointers);
        }
    }
}

#[tokio::test]
async fn a_repeat_is_answered_after_its_message_has_expired() {
    let world = World::new().await;
    let body = with(&sms("a"), "expires_at", ahead(&world, HOUR));
    let first = world
        .post_with_key("/api/messages/sms", "k", &body)
        .await
        .expect(202);
    world.clock.advance(2 * HOUR);
    let repeat = world
        .post_with_key("/api/messages/sms", "k", &body)
        .await
        .expect(202);
    assert_eq!((repeat.id(), repeat.is_replay()), (first.id(), true));
    let other = with(&body, "body", "b");
    let other = world.post_with_key("/api/messages/sms", "k", &other).await;
    other.expect_problem(422, "idempotency_key_reused");
    // A new request is refused, and so is one that never was valid.
    let late = world.post_with_key("/api/messages/sms", "l", &body).await;
    late.expect_invalid(&["/expires_at"]);
    let unreadable = with(&sms("a"), "expires_at", "never");
    let unreadable = world.post_with_key("/api/messages/sms", "k", &unreadable).await;
    unreadable.expect_invalid(&["/expires_at"]);
    let two_errors = with(&body, "to", "?");
    let two_errors = world.post_with_key("/api/messages/sms", "k", &two_errors).await;
    two_errors.expect_invalid(&["/to", "/expires_at"]);
}

#[tokio::test]
async fn times_are_compared_as_instants_and_metadata_counts() {
    let world = World::new().await;
    let body = |send_at: &str, order: &str| {
        let body = with(&sms("a"), "send_at", send_at);
        with(&body, "metadata", json!({"order": order}))
    };
    let year = &ahead(&world, 300 * 24 * HOUR)[..4];
    let utc = format!("{year}-06-01T10:00:00Z");
    let local = format!("{year}-06-01T12:00:00+02:00");
    let send = async |body: &Value| world.post_with_key("/api/messages/sms", "k", body).await;
    let first = send(&body(&utc, "17")).await.expect(202);
    assert_eq!(send(&body(&local, "17")).await.expect(202).id(), first.id());
    send(&body(&utc, "18"))
        .await
        .expect_problem(422, "idempotency_key_reused");
    let sooner = format!("{year}-06-01T10:00:00.000001Z");
    send(&body(&sooner, "17"))
        .await
        .expect_problem(422, "idempotency_key_reused");
}
