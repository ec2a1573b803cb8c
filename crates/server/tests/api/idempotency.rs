//! One key, one message, on every send route.

use engine::LimitSettings;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Fault, Response, World, email, mms, sms, unified, with, without};

const SMS: &str = "/api/messages/sms";
const EMAIL: &str = "/api/messages/email";
const UNIFIED: &str = "/api/messages";

#[tokio::test]
async fn a_repeat_is_answered_as_the_first() {
    let world = World::new().await;
    let first = world.post_with_key(SMS, "k", &sms("a")).await.expect(202);
    assert!(first.header("idempotent-replayed").is_none());
    // White space, the order of fields and empty ones make no other message.
    let spaced = serde_json::to_string_pretty(&sms("a")).unwrap();
    let spaced = world.client.request("POST", SMS).text("application/json", spaced);
    let spaced = spaced.header("idempotency-key", "k").send().await;
    let mut answers = vec![spaced];
    for repeat in [
        sms("a"),
        with(&sms("a"), "attachments", Value::Null),
        with(&sms("a"), "attachments", json!([])),
        with(&sms("a"), "timestamp", Value::Null),
        // Each of these counts as missing.
        with(&sms("a"), "timestamp", "yesterday"),
        with(&sms("a"), "timestamp", 1_764_000_000),
        with(&sms("a"), "timestamp", "1989-12-31T23:59:59Z"),
    ] {
        answers.push(world.post_with_key(SMS, "k", &repeat).await);
    }
    for answer in answers {
        let answer = answer.expect(202);
        assert_eq!(answer.json(), first.json());
        assert_eq!(answer.header("location"), first.header("location"));
        assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    }
    world.until(&first.id(), "dispatched").await;
    assert_eq!(world.messages_stored().await, 1);
    assert_eq!(world.calls("sms-mms").len(), 1);
    assert_eq!(world.metric("trunkline_idempotent_replays_total").await, 8.0);
}

#[tokio::test]
async fn a_timestamp_is_compared_as_an_instant() {
    let world = World::new().await;
    let at = |timestamp: &str| with(&sms("a"), "timestamp", timestamp);
    let first = world.post_with_key(SMS, "k", &at("2026-01-01T00:00:00Z")).await;
    let first = first.expect(202);
    for same in [
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00.000Z",
        "2025-12-31t19:00:00-05:00",
        "2026-01-01 00:00:00Z",
    ] {
        let again = world.post_with_key(SMS, "k", &at(same)).await.expect(202);
        assert_eq!((again.is_replay(), again.id()), (true, first.id()), "{same}");
    }
    for other in ["2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00+01:00", "soon"] {
        let refused = world.post_with_key(SMS, "k", &at(other)).await;
        refused.expect_problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn without_a_key_or_with_another_key_each_request_is_a_new_message() {
    let world = World::new().await;
    for key in ["k", "K", "k2"] {
        let answer = world.post_with_key(SMS, key, &sms("a")).await.expect(202);
        assert!(!answer.is_replay(), "{key}");
    }
    for _ in 0..2 {
        world.post(SMS, &sms("a")).await.expect(202);
    }
    assert_eq!(world.messages_stored().await, 5);
}

#[tokio::test]
async fn the_routes_share_their_keys() {
    let picture = mms("", &["https://example.com/a"]);
    for (route, body) in [(SMS, sms("a")), (SMS, picture), (EMAIL, email("b"))] {
        let both = [(route, body.clone()), (UNIFIED, unified(&body))];
        for order in [[0, 1], [1, 0]] {
            let world = World::new().await;
            let [(route, body), (other_route, other_body)] = order.map(|index| both[index].clone());
            let first = world.post_with_key(route, "k", &body).await.expect(202);
            let again = world
                .post_with_key(other_route, "k", &other_body)
                .await
                .expect(202);
            assert!(again.is_replay(), "{body} and {other_body}");
            assert_eq!(again.json(), first.json());
        }
    }
    // The subject of an SMS is ignored.
    let with_subject = with(&unified(&sms("a")), "subject", "An SMS has none");
    let world = World::new().await;
    world.post_with_key(SMS, "k", &sms("a")).await.expect(202);
    let again = world.post_with_key(UNIFIED, "k", &with_subject).await;
    assert!(again.expect(202).is_replay());
    // The same key on another route for another message is a conflict.
    let world = World::new().await;
    world.post_with_key(SMS, "k", &sms("a")).await.expect(202);
    for (route, body) in [(EMAIL, email("a")), (UNIFIED, unified(&email("a")))] {
        let refused = world.post_with_key(route, "k", &body).await;
        refused.expect_problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn a_key_with_another_message_is_a_conflict() {
    let world = World::new().await;
    let picture = mms("a", &["https://example.com/a", "https://example.com/b"]);
    world.post_with_key(SMS, "text", &picture).await.expect(202);
    world.post_with_key(EMAIL, "mail", &email("a")).await.expect(202);
    world.post_with_key(SMS, "plain", &sms("a")).await.expect(202);
    let swapped = json!(["https://example.com/b", "https://example.com/a"]);
    let others = [
        (SMS, "text", with(&picture, "body", "b")),
        (SMS, "text", with(&picture, "from", "+1 201 666 1234")),
        (SMS, "text", with(&picture, "to", "+18045551235")),
        (
            SMS,
            "text",
            with(&picture, "attachments", json!(["https://example.com/a"])),
        ),
        (SMS, "text", with(&picture, "attachments", swapped)),
        (SMS, "text", with(&picture, "timestamp", "2024-11-01T14:00:00Z")),
        (
            SMS,
            "text",
            without(&with(&picture, "type", "sms"), "attachments"),
        ),
        (SMS, "plain", picture.clone()),
        (EMAIL, "mail", with(&email("a"), "subject", "Another")),
        (EMAIL, "mail", without(&email("a"), "subject")),
        (EMAIL, "mail", with(&email("a"), "to", "CUSTOMER@example.com")),
    ];
    for (route, key, body) in others {
        let refused = world.post_with_key(route, key, &body).await;
        assert!(!refused.is_replay() && refused.header("location").is_none());
        refused.expect_problem(422, "idempotency_key_reused");
    }
    assert_eq!(world.messages_stored().await, 3);
    let kept = world.post_with_key(SMS, "text", &picture).await.expect(202);
    assert!(kept.is_replay());
}

#[tokio::test]
async fn concurrent_repeats_are_one_message() {
    let world = World::new().await;
    let mut repeats = JoinSet::new();
    for number in 0..24 {
        let client = world.client;
        repeats.spawn(async move {
            let (route, body) = match number % 2 {
                0 => (SMS, sms("a")),
                _ => (UNIFIED, unified(&sms("a"))),
            };
            let request = client.request("POST", route).json(&body);
            request.header("idempotency-key", "k").send().await.expect(202)
        });
    }
    let answers: Vec<Response> = repeats.join_all().await;
    assert!(answers.iter().all(|answer| answer.json() == answers[0].json()));
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    world.until(&answers[0].id(), "dispatched").await;
    assert_eq!(world.messages_stored().await, 1);
    assert_eq!(world.calls("sms-mms").len(), 1);
}

#[tokio::test]
async fn a_key_is_the_same_bare_and_quoted() {
    let longest = "k".repeat(255);
    let quoted_longest = format!("\"{longest}\"");
    let cases = [
        ("order-17", "\"order-17\""),
        ("\"order-17\"", "order-17"),
        (r#"a"b\c"#, r#""a\"b\\c""#),
        ("~!@#$%^&*(){}[]<>;:,?", "\"~!@#$%^&*(){}[]<>;:,?\""),
        (&longest, &quoted_longest),
    ];
    for (one, other) in cases {
        let world = World::new().await;
        let first = world.post_with_key(SMS, one, &sms("a")).await.expect(202);
        let again = world.post_with_key(SMS, other, &sms("a")).await.expect(202);
        assert!(again.is_replay(), "{one} and {other}");
        assert_eq!(first.id(), again.id());
    }
}

#[tokio::test]
async fn an_invalid_key_is_refused() {
    let world = World::new().await;
    let too_long = "k".repeat(256);
    let quoted_too_long = format!("\"{too_long}\"");
    for key in [
        "",
        "\"\"",
        "two words",
        "\"two words\"",
        "\"open",
        "\"a\"b",
        "\"a\\b\"",
        "\"",
        "tab\tbed",
        "ключ",
        &too_long,
        &quoted_too_long,
    ] {
        for (route, body) in [
            (SMS, sms("a")),
            (EMAIL, email("a")),
            (UNIFIED, unified(&sms("a"))),
        ] {
            let refused = world.post_with_key(route, key, &body).await;
            assert_eq!(refused.status, 400, "{key}");
            refused.expect_invalid(&["Idempotency-Key"]);
        }
    }
    let twice = world.client.request("POST", SMS).json(&sms("a"));
    let twice = twice
        .header("idempotency-key", "k")
        .header("idempotency-key", "k");
    twice.send().await.expect_invalid(&["Idempotency-Key"]);
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key() {
    let world = World::with(|settings| settings.only(&["sms-mms"])).await;
    let send = async |body: &Value| world.post_with_key(SMS, "k", body).await;
    send(&with(&sms("a"), "to", "nobody"))
        .await
        .expect_problem(400, "invalid");
    let huge = sms(&"a".repeat(300_000));
    send(&huge).await.expect_problem(413, "body_too_large");
    let mail = world.post_with_key(EMAIL, "k", &email("a")).await;
    mail.expect_problem(500, "no_provider");
    world.store.set(Fault::Away);
    send(&sms("b")).await.expect_problem(503, "store_unavailable");
    world.store.set(Fault::Refuses);
    send(&sms("c")).await.expect_problem(500, "internal");
    world.store.set(Fault::Silent {
        stored: false,
        found: true,
    });
    send(&sms("d")).await.expect_problem(503, "outcome_unknown");
    world.store.set(Fault::None);
    let first = send(&sms("e")).await.expect(202);
    assert!(!first.is_replay());
    assert_eq!(world.messages_stored().await, 1);
}

#[tokio::test]
async fn a_rate_limited_request_does_not_use_its_key() {
    let world = World::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(1_000, 1, 1_000);
    })
    .await;
    world.post_with_key(SMS, "first", &sms("a")).await.expect(202);
    let refused = world.post_with_key(SMS, "second", &sms("b")).await;
    let wait = refused.expect_problem(429, "rate_limited").retry_after();
    world.clock.advance(std::time::Duration::from_secs(wait));
    let sent = world.post_with_key(SMS, "second", &sms("c")).await.expect(202);
    assert!(!sent.is_replay());
}

#[tokio::test]
async fn after_a_lost_commit_answer_the_key_finds_the_message() {
    // Stored, but not found: the repeat gets the answer that the first request should have had.
    let world = World::new().await;
    world.store.set(Fault::Silent {
        stored: true,
        found: false,
    });
    let lost = world.post_with_key(SMS, "k", &sms("a")).await;
    lost.expect_problem(503, "outcome_unknown");
    world.store.set(Fault::None);
    let again = world.post_with_key(SMS, "k", &sms("a")).await.expect(202);
    assert!(again.is_replay());
    assert_eq!(world.messages_stored().await, 1);

    // Stored, and found by its id: the first request gets its 202.
    world.store.set(Fault::Silent {
        stored: true,
        found: true,
    });
    let found = world.post_with_key(SMS, "k2", &sms("b")).await.expect(202);
    assert!(!found.is_replay());
    world.store.set(Fault::None);
    world.until(&found.id(), "dispatched").await;
    assert_eq!(world.messages_stored().await, 2);
}
