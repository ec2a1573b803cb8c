use std::time::Duration;

use domain::Clock;
use serde_json::{Value, json};

use super::{instant, picture};
use crate::world::{Fault, World, email, mms, sms, unified, until, with, without};

/// Everything a message shows, with what the node chose put in from `shown` after it was looked at.
fn expected_view(sent: &Value, channel: &str, shown: &Value) -> Value {
    let mut expected = json!({
        "id": shown["id"], "conversation_id": "1", "sequence": 1, "direction": "outbound", "channel": channel,
        "from": sent["from"], "to": sent["to"], "body": sent["body"], "snippet": sent["body"],
        "attachments": sent.get("attachments").cloned().unwrap_or_else(|| json!([])),
        "timestamp": shown["timestamp"], "processed_at": shown["processed_at"], "status": "dispatched",
        "provider": if channel == "email" { "email" } else { "sms-mms" }, "receipts": [],
    });
    if let Some(subject) = sent.get("subject") {
        expected["subject"] = subject.clone();
    }
    expected
}

#[tokio::test]
async fn a_sent_message_is_accepted_shown_and_dispatched() {
    let formatted = with(&sms("Hi"), "from", "+1 (201) 666-1234");
    let named = with(&sms("Your code is 1234"), "from", "Shop&Co");
    let short = with(&with(&sms("STOP"), "to", "72975"), "from", "12345");
    let plain = without(&email("No subject"), "subject");
    let tagged = with(&email("Tag"), "from", "Shop+Orders@Example.COM");
    let cases = [
        ("/api/messages/sms", "sms", sms("Hello")),
        ("/api/messages/sms", "sms", formatted.clone()),
        ("/api/messages/sms", "sms", named),
        ("/api/messages/sms", "sms", short),
        ("/api/messages/sms", "mms", picture()),
        ("/api/messages/sms", "mms", mms("", &["https://example.com/b"])),
        ("/api/messages/email", "email", email("<b>Hello</b>\r\n")),
        ("/api/messages/email", "email", plain),
        ("/api/messages/email", "email", tagged),
        (
            "/api/messages/email",
            "email",
            with(&email("See"), "attachments", json!(["http://example.com/b"])),
        ),
    ];
    for (route, channel, sent) in cases {
        for (route, body) in [(route, sent.clone()), ("/api/messages", unified(&sent))] {
            let world = World::new().await;
            let before = world.clock.now();
            let response = world.post(route, &body).await.expect(202);
            let id = response.id();
            assert_eq!(
                response.json(),
                json!({"status": "accepted", "id": id, "conversation_id": "1"})
            );
            assert_eq!(response.header("content-type"), Some("application/json"));
            let location = format!("/api/messages/{id}");
            assert_eq!(response.header("location"), Some(location.as_str()));
            assert!(!response.is_replay());

            let shown = world.until(&id, "dispatched").await;
            let attempt = &shown["attempts"][0];
            assert_eq!(
                shown["attempts"],
                json!([{
                    "attempt_number": 1, "provider": shown["provider"], "outcome": "success", "error_code": null,
                    "occurred_at": attempt["occurred_at"], "latency_ms": attempt["latency_ms"],
                    "provider_message_id": attempt["provider_message_id"],
                }])
            );
            assert!(attempt["provider_message_id"].is_string());
            assert!(attempt["latency_ms"].is_u64() && instant(&attempt["occurred_at"]) >= before);
            assert!((before..=world.clock.now()).contains(&instant(&shown["processed_at"])));
            assert_eq!(shown["timestamp"], shown["processed_at"]);
            assert_eq!(
                without(&shown, "attempts"),
                expected_view(&sent, channel, &shown),
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn optional_fields_may_be_null() {
    let world = World::new().await;
    let cases = [
        (
            "/api/messages",
            with(&unified(&sms("a")), "subject", "An SMS has none"),
        ),
        ("/api/messages/sms", with(&sms("a"), "attachments", Value::Null)),
        ("/api/messages/sms", with(&sms("a"), "timestamp", Value::Null)),
        ("/api/messages/email", with(&email("a"), "subject", Value::Null)),
        ("/api/messages/sms", with(&sms("a"), "channel", "sms")),
        ("/api/messages/sms", with(&sms("a"), "subject", "An SMS has none")),
        ("/api/messages/email", with(&email("a"), "type", "email")),
        ("/api/messages/email", with(&email("a"), "channel", "email")),
        (
            "/api/messages",
            without(&with(&sms("a"), "type", "sms"), "channel"),
        ),
        ("/api/messages", with(&unified(&sms("a")), "type", "sms")),
        ("/api/messages", with(&unified(&email("a")), "type", "email")),
    ];
    for (route, body) in cases {
        let id = world.post(route, &body).await.expect(202).id();
        let shown = world.message(&id).await;
        let has_subject = body["subject"].is_string() && shown["channel"] == "email";
        assert_eq!(shown.get("subject").is_some(), has_subject, "{body}");
        assert_eq!(shown["attachments"], json!([]), "{body}");
    }
}

#[tokio::test]
async fn media_types_of_json_are_json() {
    let world = World::new().await;
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.trunkline+json",
    ] {
        let request = world.client.request("POST", "/api/messages/sms");
        request
            .text(media_type, sms("a").to_string())
            .send()
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn the_most_that_may_be_attached_is_accepted() {
    let world = World::new().await;
    let longest = format!("https://example.com/{}", "a".repeat(2_048 - 20));
    let mut urls: Vec<&str> = vec!["https://example.com/a"; 9];
    urls.push(&longest);
    let id = world.sent(&mms("", &urls)).await;
    assert_eq!(world.message(&id).await["attachments"], json!(urls));

    let world = World::with(|settings| settings.server.drafts.attachments_max = 1).await;
    world.sent(&mms("", &urls[..1])).await;
    let response = world.post("/api/messages/sms", &mms("", &urls[..2])).await;
    response.expect_invalid(&["/attachments"]);
}

#[tokio::test]
async fn a_plausible_timestamp_is_kept() {
    let world = World::new().await;
    let in_minutes = |minutes: u64| {
        let time = Duration::from_secs(minutes * 60);
        world.clock.now().saturating_add(time).to_string()
    };
    let (soon, too_late) = (in_minutes(59), in_minutes(61));
    let kept = [
        ("2024-11-01T14:00:00.123456Z", "2024-11-01T14:00:00.123456Z"),
        ("2024-11-01T14:00:00.1234569Z", "2024-11-01T14:00:00.123456Z"),
        ("2024-11-01T14:00:00Z", "2024-11-01T14:00:00Z"),
        ("2024-11-01T15:00:00.5+01:00", "2024-11-01T14:00:00.5Z"),
        ("1990-01-01T00:00:00Z", "1990-01-01T00:00:00Z"),
        (&soon, &soon),
    ];
    let not_kept = [
        json!(""),
        json!("yesterday"),
        json!("2024-11-01"),
        json!("2024-11-01T14:00:00"),
        json!("2024-13-01T14:00:00Z"),
        json!("1730469600"),
        json!("\u{0}"),
        json!("0000-01-01T00:00:00Z"),
        json!("0001-01-01T00:00:00Z"),
        json!("1989-12-31T23:59:59.999999Z"),
        json!(too_late),
        json!("9999-12-30T00:00:00Z"),
        // JSON of another type.
        json!(1_730_469_600),
        json!(1.5),
        json!(false),
        json!(["2024-11-01T14:00:00Z"]),
        json!({"at": "2024-11-01T14:00:00Z"}),
    ];
    for make in [sms, email] {
        for (given, shown) in kept {
            let id = world.sent(&with(&make("a"), "timestamp", given)).await;
            let message = world.message(&id).await;
            assert_eq!(message["timestamp"], shown, "{given}");
            assert_ne!(message["processed_at"], shown, "{given}");
        }
        for given in not_kept.clone() {
            let before = world.clock.now();
            let id = world.sent(&with(&make("a"), "timestamp", given.clone())).await;
            let message = world.message(&id).await;
            assert_eq!(message["timestamp"], message["processed_at"], "{given}");
            assert!(instant(&message["timestamp"]) >= before, "{given}");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_has_sent_its_message_nevertheless() {
    let world = World::new().await;
    world.store.set(Fault::Slow);
    let body = sms("a").to_string();
    let request = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let connection = world.client.begin(&request).await;
    world.store.batches(1).await;
    drop(connection);
    // A later connection is answered, so the node has seen the end of this one.
    world.get("/healthz").await.expect(200);
    world.store.set(Fault::None);
    until("the message is dispatched", async || {
        let listed = world
            .get("/api/messages?status=dispatched")
            .await
            .expect(200)
            .json();
        (listed["meta"]["total"] == 1).then_some(())
    })
    .await;
}
