use std::time::Duration;

use domain::Clock;
use serde_json::{Value, json};

use crate::world::{World, email, sms, sms_webhook, with};

fn ids(listed: &Value) -> Vec<String> {
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn messages_are_listed_by_participant_direction_conversation_and_time() {
    let world = World::new().await;
    let other = with(&sms("b"), "to", "+18045550000");
    let mut sent = Vec::new();
    for body in [sms("a"), other, email("c")] {
        sent.push(world.sent(&body).await);
    }
    let received = world.post("/api/webhooks/sms", &sms_webhook("1", "d")).await;
    sent.push(received.expect(202).id());
    world.clock.advance(Duration::from_secs(60));
    let since = world.clock.now().to_string();
    sent.push(world.sent(&with(&sms("e"), "from", "Acme")).await);
    let offset = format!("since={}", since.replace('Z', "+00:00"));
    let since = format!("since={since}");
    let cases: Vec<(&str, &[usize])> = vec![
        ("to=%2B18045551234", &[4, 0]),
        ("to=+18045551234", &[4, 0]),
        ("to=tel:001%20804%20555-1234", &[4, 0]),
        ("from=%2B18045551234", &[3]),
        ("from=ACME", &[4]),
        ("from=Shop@Example.com", &[2]),
        ("from=%2B12016661234&to=%2B18045550000", &[1]),
        ("direction=inbound", &[3]),
        ("direction=outbound&channel=sms", &[4, 1, 0]),
        ("conversation_id=1", &[3, 0]),
        ("conversation_id=77", &[]),
        (&since, &[4]),
        (&offset, &[4]),
        ("since=2020-01-01T00:00:00Z&channel=email", &[2]),
    ];
    for (query, expected) in cases {
        let listed = world
            .get(&format!("/api/messages?{query}"))
            .await
            .expect(200)
            .json();
        let expected: Vec<_> = expected.iter().map(|index| sent[*index].clone()).collect();
        assert_eq!(ids(&listed), expected, "{query}");
        assert_eq!(listed["meta"]["total"], expected.len(), "{query}");
    }
    for (query, pointer) in [
        ("to=?", "to"),
        ("from=%2B1", "from"),
        ("direction=up", "direction"),
        ("conversation_id=01", "conversation_id"),
        ("since=yesterday", "since"),
        ("extract=yes", "extract"),
    ] {
        let refused = world.get(&format!("/api/messages?{query}")).await;
        refused.expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn links_and_codes_are_extracted_only_when_asked_for() {
    let world = World::new().await;
    let body =
        "<p>Your code is <b>481516</b></p><a href=\"https://example.com/confirm?a=1&amp;b=2\">Confirm</a>";
    let id = world.sent(&email(body)).await;
    let expected = json!({"links": ["https://example.com/confirm?a=1&b=2"], "codes": ["481516"]});
    let listed = world.get("/api/messages?extract=true").await.expect(200).json();
    assert_eq!(listed["items"][0]["extracted"], expected);
    let single = world.get(&format!("/api/messages/{id}?extract=true")).await;
    assert_eq!(single.expect(200).json()["extracted"], expected);
    for path in [
        "/api/messages".to_owned(),
        "/api/messages?extract=false".to_owned(),
    ] {
        let listed = world.get(&path).await.expect(200).json();
        assert!(listed["items"][0].get("extracted").is_none());
    }
    assert!(world.message(&id).await.get("extracted").is_none());
}
