use std::time::Duration;

use domain::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{CUSTOMER, SHOP, World, email, mms, sms, sms_webhook, with};

const LIST: &str = "/api/conversations";

fn ids(listed: &Value) -> Vec<String> {
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

fn at(body: &Value, timestamp: &str) -> Value {
    with(body, "timestamp", timestamp)
}

async fn list(world: &World, query: &str) -> Value {
    world.get(&format!("{LIST}?{query}")).await.expect(200).json()
}

#[tokio::test]
async fn a_conversation_shows_its_participants_and_its_count() {
    let world = World::new().await;
    let before = world.clock.now();
    world
        .sent(&at(
            &with(&sms("1"), "from", "+1 201-666-1234"),
            "2024-11-01T14:00:00.5Z",
        ))
        .await;
    let picture = mms("", &["https://example.com/a"]);
    let last = world.sent(&at(&picture, "2024-11-03T14:00:00.000001Z")).await;
    world
        .post(
            "/api/webhooks/sms",
            &at(&sms_webhook("1", "3"), "2024-11-02T14:00:00Z"),
        )
        .await
        .expect(202);
    let mail = with(&email("4"), "from", "Shop+Orders@Example.com");
    let mail = world.sent(&at(&mail, "2024-11-01T00:00:00Z")).await;
    for id in [&last, &mail] {
        world.until(id, "dispatched").await;
    }

    let texts = world.get("/api/conversations/1").await.expect(200);
    assert_eq!(texts.header("content-type"), Some("application/json"));
    let created_at = texts.json()["created_at"].clone();
    let created = Timestamp::parse(created_at.as_str().unwrap()).unwrap();
    assert!((before..=world.clock.now()).contains(&created));
    let expected = json!({
        "id": "1", "key": format!("sms:{SHOP}<->{CUSTOMER}"), "channel": "sms", "participant_a": SHOP,
        "participant_b": CUSTOMER, "message_count": 3, "last_activity_at": "2024-11-03T14:00:00.000001Z",
        "created_at": created_at,
        // The last of the thread, not the last that came.
        "last_message": {
            "id": last, "direction": "outbound", "snippet": "", "status": "dispatched",
            "timestamp": "2024-11-03T14:00:00.000001Z",
        },
    });
    assert_eq!(texts.json(), expected);
    let mails = world.get("/api/conversations/2").await.expect(200).json();
    let expected_mails = json!({
        "id": "2", "key": "email:customer@example.com<->shop@example.com", "channel": "email",
        "participant_a": "customer@example.com", "participant_b": "shop@example.com", "message_count": 1,
        "last_activity_at": "2024-11-01T00:00:00Z", "created_at": mails["created_at"],
        "last_message": {
            "id": mail, "direction": "outbound", "snippet": "4", "status": "dispatched",
            "timestamp": "2024-11-01T00:00:00Z",
        },
    });
    assert_eq!(mails, expected_mails);
    assert_eq!(
        list(&world, "").await,
        json!({
            "items": [expected, expected_mails],
            "meta": {"page": 1, "page_size": 50, "total": 2, "total_capped": false, "next_cursor": null},
        })
    );
}

/// Conversations with the given last activities; their ids count from 1.
async fn with_activities(world: &World, timestamps: &[&str]) {
    for (number, timestamp) in timestamps.iter().enumerate() {
        let body = with(&sms("a"), "to", format!("+1804555{number:04}"));
        world.sent(&at(&body, timestamp)).await;
    }
}

#[tokio::test]
async fn the_latest_activity_comes_first_then_the_highest_id() {
    let world = World::new().await;
    let noon = "2024-11-01T12:00:00Z";
    with_activities(
        &world,
        &[
            noon,
            "2024-11-01T12:00:00.000001Z",
            noon,
            "2024-10-01T12:00:00Z",
            noon,
        ],
    )
    .await;
    assert_eq!(ids(&list(&world, "").await), ["2", "5", "3", "1", "4"]);
    // An older message does not change the activity; a newer one moves its conversation to the front.
    let late = with(&sms("late"), "to", "+18045550001");
    world.sent(&at(&late, "2023-01-01T00:00:00Z")).await;
    assert_eq!(ids(&list(&world, "").await), ["2", "5", "3", "1", "4"]);
    let now = with(&sms("now"), "to", "+18045550003");
    world.sent(&now).await;
    assert_eq!(ids(&list(&world, "").await), ["4", "2", "5", "3", "1"]);
}

#[tokio::test]
async fn pages_count_from_one_and_have_bounded_sizes() {
    let world = World::new().await;
    let mut senders = JoinSet::new();
    for number in 0..205 {
        let client = world.client;
        senders.spawn(async move {
            let id = number.to_string();
            let body = with(&sms_webhook(&id, "a"), "from", format!("+1804555{number:04}"));
            client.post("/api/webhooks/sms", &body).await.expect(202);
        });
    }
    senders.join_all().await;
    let all = [
        list(&world, "pageSize=200").await,
        list(&world, "pageSize=200&page=2").await,
    ];
    let all: Vec<String> = all.iter().flat_map(ids).collect();
    assert_eq!(all.len(), 205);
    let cases = [
        ("", 1, 50, 0..50),
        ("page=1", 1, 50, 0..50),
        ("pageSize=0", 1, 50, 0..50),
        ("pageSize=1", 1, 1, 0..1),
        ("pageSize=200", 1, 200, 0..200),
        ("pageSize=201", 1, 200, 0..200),
        ("pageSize=99999999999999999999", 1, 200, 0..200),
        ("page=2", 2, 50, 50..100),
        ("page=2&pageSize=7", 2, 7, 7..14),
        ("page=5&pageSize=50", 5, 50, 200..205),
        ("page=6&pageSize=50", 6, 50, 205..205),
    ];
    for (query, page, page_size, expected) in cases {
        let listed = list(&world, query).await;
        let more = !expected.is_empty() && expected.end < 205;
        assert_eq!(ids(&listed), all[expected], "{query}");
        let mut meta = listed["meta"].clone();
        assert_eq!(meta["next_cursor"].is_string(), more, "{query}");
        meta["next_cursor"] = Value::Null;
        assert_eq!(
            meta,
            json!({
                "page": page, "page_size": page_size, "total": 205, "total_capped": false, "next_cursor": null,
            }),
            "{query}"
        );
    }
    let far = list(&world, "page=99999999999999999999").await;
    assert_eq!((ids(&far).len(), &far["meta"]["total"]), (0, &json!(205)));
    let bad = [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1.5", "page"),
        ("page=one", "page"),
        ("pageSize=-1", "pageSize"),
        ("pageSize=many", "pageSize"),
        ("cursor=nonsense", "cursor"),
        ("cursor=c1.0", "cursor"),
        ("cursor=t1.1", "cursor"),
        ("cursor=%00", "cursor"),
        ("channel=mms", "channel"),
        ("channel=SMS", "channel"),
        ("participant=%40", "participant"),
        ("participant=nobody%20at%20all", "participant"),
    ];
    for (query, pointer) in bad {
        let refused = world.get(&format!("{LIST}?{query}")).await;
        refused.expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn a_walk_by_cursor_never_repeats_a_conversation() {
    let world = World::new().await;
    with_activities(
        &world,
        &[
            "2024-11-05T00:00:00Z",
            "2024-11-04T00:00:00Z",
            "2024-11-03T00:00:00Z",
            "2024-11-03T00:00:00Z",
            "2024-11-01T00:00:00Z",
        ],
    )
    .await;
    let first = list(&world, "pageSize=2").await;
    assert_eq!(ids(&first), ["1", "2"]);
    // The last one moves to the front, which the walk has passed.
    world.sent(&with(&sms("now"), "to", "+18045550004")).await;
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    // `page` is ignored beside a cursor, even if it is invalid.
    for page in ["", "&page=9", "&page=0", "&page=x"] {
        let second = list(&world, &format!("pageSize=2&cursor={cursor}{page}")).await;
        assert_eq!(ids(&second), ["4", "3"], "{page}");
        let expected = json!({
            "page": null, "page_size": 2, "total": 5, "total_capped": false, "next_cursor": null,
        });
        assert_eq!(second["meta"], expected, "{page}");
    }
}

#[tokio::test]
async fn conversations_are_found_by_participant_and_channel() {
    let world = World::new().await;
    let national = with(&with(&sms("c"), "from", "Shop"), "to", "2016661234");
    for body in [
        sms("a"),
        with(&sms("b"), "to", "+18045550000"),
        national,
        email("d"),
    ] {
        world.sent(&body).await;
    }
    let cases: Vec<(&str, &[&str])> = vec![
        ("channel=sms", &["3", "2", "1"]),
        ("channel=email", &["4"]),
        ("participant=%2B12016661234", &["2", "1"]),
        ("participant=+12016661234", &["2", "1"]),
        ("participant=%2B1%20(201)%20666-1234", &["2", "1"]),
        ("participant=%2B1.201.666.1234", &["2", "1"]),
        ("participant=%2B18045551234", &["1"]),
        // No country code is guessed: these are different numbers.
        ("participant=12016661234", &[]),
        ("participant=(201)%20666-1234", &["3"]),
        ("participant=SHOP", &["3"]),
        ("participant=Customer%2Btag@EXAMPLE.com", &["4"]),
        ("participant=%2B12016661234&channel=email", &[]),
        ("participant=%2B12016661234&channel=sms", &["2", "1"]),
        ("participant=%2B19999999999", &[]),
    ];
    for (query, expected) in cases {
        let listed = list(&world, query).await;
        assert_eq!(ids(&listed), expected, "{query}");
        assert_eq!(listed["meta"]["total"], expected.len(), "{query}");
    }
    let walk = list(&world, "participant=%2B12016661234&pageSize=1").await;
    let cursor = walk["meta"]["next_cursor"].as_str().unwrap();
    let rest = list(&world, &format!("participant=%2B12016661234&cursor={cursor}")).await;
    assert_eq!(
        (ids(&walk), ids(&rest)),
        (vec!["2".to_owned()], vec!["1".to_owned()])
    );
}

#[tokio::test]
async fn a_region_makes_national_numbers_international() {
    let world =
        World::with(|settings| settings.server.drafts.default_region = Some("US".parse().unwrap())).await;
    let national = with(&sms("a"), "from", "(201) 666-1234");
    let id = world.sent(&national).await;
    assert_eq!(world.message(&id).await["from"], "(201) 666-1234");
    world.sent(&sms("b")).await;
    for text in ["201-666-1234", "%2B12016661234"] {
        let listed = list(&world, &format!("participant={text}")).await;
        assert_eq!(ids(&listed), ["1"]);
        assert_eq!(listed["items"][0]["message_count"], 2);
    }
}

#[tokio::test]
async fn messages_are_ordered_by_timestamp_then_by_sequence() {
    let world = World::new().await;
    let noon = "2024-11-01T12:00:00Z";
    let mut sent = Vec::new();
    for (body, timestamp) in [
        ("third", noon),
        ("fourth", noon),
        ("first", "2024-10-31T12:00:00Z"),
        ("fifth", "2024-11-01T12:00:00.000001Z"),
        ("second", "2024-11-01T11:59:59.999999Z"),
    ] {
        sent.push(world.sent(&at(&sms(body), timestamp)).await);
    }
    let path = "/api/conversations/1/messages";
    let listed = world.get(path).await.expect(200).json();
    let shown: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["body"].as_str().unwrap(), item["sequence"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("first", 3),
            ("second", 5),
            ("third", 1),
            ("fourth", 2),
            ("fifth", 4)
        ]
    );
    assert_eq!(
        listed["meta"],
        json!({"page": 1, "page_size": 50, "total": 5, "total_capped": false, "next_cursor": null})
    );
    // The view of a single message, without attempts and receipts.
    for id in &sent {
        let mut single = world.until(id, "dispatched").await;
        single.as_object_mut().unwrap().remove("attempts");
        single.as_object_mut().unwrap().remove("receipts");
        let listed = world.get(path).await.json();
        assert!(listed["items"].as_array().unwrap().contains(&single), "{single}");
    }

    // By page and by cursor, while messages join.
    let page = world.get(&format!("{path}?pageSize=2&page=2")).await.json();
    assert_eq!(
        (page["items"][0]["body"].as_str(), ids(&page).len()),
        (Some("third"), 2)
    );
    let mut walked = Vec::new();
    let mut next = format!("{path}?pageSize=2");
    loop {
        let part = world.get(&next).await.expect(200).json();
        walked.extend(part["items"].as_array().unwrap().clone());
        let Some(cursor) = part["meta"]["next_cursor"].as_str() else {
            break;
        };
        next = format!("{path}?pageSize=2&cursor={cursor}");
        if walked.len() == 2 {
            world
                .sent(&at(&sms("too early for the walk"), "2020-01-01T00:00:00Z"))
                .await;
        }
    }
    let bodies: Vec<_> = walked.iter().map(|item| item["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["first", "second", "third", "fourth", "fifth"]);
    for (query, pointer) in [
        ("page=0", "page"),
        ("cursor=c1.1", "cursor"),
        ("pageSize=x", "pageSize"),
    ] {
        let refused = world.get(&format!("{path}?{query}")).await;
        refused.expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn a_snippet_is_cut_between_graphemes() {
    let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    let cases = [
        ("a".repeat(64), "a".repeat(64)),
        ("a".repeat(65), format!("{}…", "a".repeat(64))),
        (family.repeat(64), family.repeat(64)),
        (
            format!("{}e\u{301}\u{301}x", family.repeat(63)),
            format!("{}e\u{301}\u{301}…", family.repeat(63)),
        ),
    ];
    let world = World::new().await;
    for (body, snippet) in cases {
        let id = world.sent(&sms(&body)).await;
        let shown = world.message(&id).await;
        assert_eq!(
            (&shown["body"], &shown["snippet"]),
            (&json!(body), &json!(snippet))
        );
    }
    let world = World::with(|settings| settings.server.snippet_graphemes = 5).await;
    let id = world.sent(&sms("Hello, world")).await;
    assert_eq!(world.message(&id).await["snippet"], "Hello…");
}

#[tokio::test]
async fn an_unknown_or_uncanonical_conversation_id_is_not_found() {
    let world = World::new().await;
    world.sent(&sms("a")).await;
    for id in [
        "2",
        "0",
        "-1",
        "one",
        "1.0",
        "01",
        "+1",
        "%2B1",
        "%201",
        "1%20",
        "%EF%BC%91",
        "9223372036854775807",
        "9223372036854775808",
        "%FF",
        "%2F",
    ] {
        for path in [format!("{LIST}/{id}"), format!("{LIST}/{id}/messages")] {
            let missing = world.get(&path).await;
            assert_eq!((missing.status, &path), (404, &path), "{}", missing.text());
            missing.expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn the_node_follows_the_tests_clock() {
    // The tests of limits rely on this.
    let world = World::new().await;
    world.clock.advance(Duration::from_secs(3_600));
    let before = world.clock.now();
    let id = world.sent(&sms("a")).await;
    let processed_at = world.message(&id).await["processed_at"].clone();
    assert!(Timestamp::parse(processed_at.as_str().unwrap()).unwrap() >= before);
}

#[tokio::test]
async fn a_page_of_large_messages_ends_early_or_is_refused() {
    let world = World::new().await;
    let body = "x".repeat(200_000);
    for _ in 0..22 {
        world.sent(&with(&sms("1"), "body", body.as_str())).await;
    }
    for path in ["/api/messages", "/api/conversations/1/messages"] {
        let first = world.get(&format!("{path}?pageSize=30")).await.expect(200).json();
        // 4 MiB hold twenty of them.
        assert_eq!(ids(&first).len(), 20);
        assert_eq!(first["meta"]["page"], Value::Null);
        let cursor = first["meta"]["next_cursor"].as_str().unwrap();
        let rest = world
            .get(&format!("{path}?pageSize=30&cursor={cursor}"))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (ids(&rest).len(), &rest["meta"]["next_cursor"]),
            (2, &Value::Null)
        );
        // The next page number would skip the missing messages.
        let refused = world.get(&format!("{path}?pageSize=30&page=1")).await;
        refused.expect_invalid(&["page"]);
        let second = world
            .get(&format!("{path}?pageSize=15&page=2"))
            .await
            .expect(200)
            .json();
        assert_eq!((ids(&second).len(), &second["meta"]["page"]), (7, &json!(2)));
    }
}
