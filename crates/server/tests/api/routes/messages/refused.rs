use serde_json::{Value, json};

use crate::world::{CUSTOMER, SHOP, World, email, mms, sms, unified, with, without};

const ROUTES: [&str; 3] = ["/api/messages/sms", "/api/messages/email", "/api/messages"];

#[tokio::test]
async fn an_invalid_message_is_refused_with_pointers_and_not_stored() {
    let world = World::new().await;
    let text = |field, value: &str| with(&sms("a"), field, value);
    let mail = |field, value: &str| with(&email("a"), field, value);
    let urls = |urls: Value| with(&mms("a", &[]), "attachments", urls);
    let long_url = format!("https://example.com/{}", "a".repeat(2_048 - 20 + 1));
    let eleven: Value = (0..11).map(|n| format!("https://example.com/{n}")).collect();
    let [phone, mailbox] = ["/api/messages/sms", "/api/messages/email"];
    // These are refused on the unified route too.
    let cases: Vec<(&str, Value, &[&str])> = vec![
        (phone, without(&sms("a"), "from"), &["/from"]),
        (phone, without(&sms("a"), "to"), &["/to"]),
        (phone, without(&sms("a"), "body"), &["/body"]),
        (phone, with(&sms("a"), "body", Value::Null), &["/body"]),
        (mailbox, without(&email("a"), "from"), &["/from"]),
        (mailbox, without(&email("a"), "to"), &["/to"]),
        (mailbox, without(&email("a"), "body"), &["/body"]),
        // JSON of another type.
        (phone, with(&sms("a"), "from", 12_016_661_234_u64), &["/from"]),
        (phone, with(&sms("a"), "to", json!([CUSTOMER])), &["/to"]),
        (phone, with(&sms("a"), "body", json!({})), &["/body"]),
        (
            phone,
            with(&mms("a", &[]), "attachments", "https://example.com/a"),
            &["/attachments"],
        ),
        (
            phone,
            urls(json!(["https://example.com/a", 5])),
            &["/attachments/1"],
        ),
        (mailbox, with(&email("a"), "subject", true), &["/subject"]),
        // Addresses.
        (phone, text("from", ""), &["/from"]),
        (phone, text("from", "12/34"), &["/from"]),
        (phone, text("from", "twelve chars"), &["/from"]),
        (phone, text("from", "+123456"), &["/from"]),
        (phone, text("from", "+1234567890123456"), &["/from"]),
        (phone, text("from", "shop@example.com"), &["/from"]),
        (phone, text("from", "+1201\u{0}6661234"), &["/from"]),
        (phone, text("to", "Shop"), &["/to"]),
        (phone, text("to", "1"), &["/to"]),
        (phone, text("to", "customer@example.com"), &["/to"]),
        (mailbox, mail("from", SHOP), &["/from"]),
        (mailbox, mail("from", "Shop <shop@example.com>"), &["/from"]),
        (mailbox, mail("to", "customer@"), &["/to"]),
        (mailbox, mail("to", " customer@example.com"), &["/to"]),
        (mailbox, mail("to", "customer\u{0}@example.com"), &["/to"]),
        // Text.
        (phone, text("body", ""), &["/body"]),
        (phone, text("body", "a\u{0}b"), &["/body"]),
        (mailbox, mail("body", ""), &["/body"]),
        (mailbox, mail("body", "\u{0}"), &["/body"]),
        (mailbox, mail("subject", "\u{0}"), &["/subject"]),
        (
            mailbox,
            mail("subject", "a\r\nBcc: other@example.com"),
            &["/subject"],
        ),
        (mailbox, mail("subject", "a\nb"), &["/subject"]),
        (mailbox, mail("subject", "a\r b"), &["/subject"]),
        (mailbox, mail("subject", "a\r\n folded"), &["/subject"]),
        // An MMS is more than text.
        (phone, mms("", &[]), &["/attachments"]),
        (phone, mms("a", &[]), &["/attachments"]),
        (phone, without(&mms("a", &[]), "attachments"), &["/attachments"]),
        (phone, urls(Value::Null), &["/attachments"]),
        // Attachments.
        (
            phone,
            with(&sms("a"), "attachments", json!(["https://example.com/a"])),
            &["/attachments"],
        ),
        (
            phone,
            urls(json!(["https://example.com/a", "/b"])),
            &["/attachments/1"],
        ),
        (phone, urls(json!(["ftp://example.com/a"])), &["/attachments/0"]),
        (phone, urls(json!(["https://"])), &["/attachments/0"]),
        (
            phone,
            urls(json!(["https://exa\u{0}mple.com/"])),
            &["/attachments/0"],
        ),
        (phone, urls(json!([long_url])), &["/attachments/0"]),
        (phone, urls(eleven), &["/attachments"]),
        // All errors are reported at once.
        (
            phone,
            json!({"from": "", "type": "sms", "body": "\u{0}", "attachments": [""]}),
            &["/from", "/to", "/body", "/attachments/0"],
        ),
    ];
    for (route, body, pointers) in cases {
        world.post(route, &body).await.expect_invalid(pointers);
        world
            .post("/api/messages", &unified(&body))
            .await
            .expect_invalid(pointers);
    }
    // These concern one route.
    let cases: Vec<(&str, Value, &[&str])> = vec![
        (phone, without(&sms("a"), "type"), &["/type"]),
        (phone, with(&sms("a"), "type", Value::Null), &["/type"]),
        (phone, with(&sms("a"), "type", 1), &["/type"]),
        (phone, text("type", "SMS"), &["/type"]),
        (phone, text("type", "email"), &["/type"]),
        (phone, text("type", "sms\u{0}"), &["/type"]),
        (phone, text("channel", "mms"), &["/type"]),
        (phone, text("channel", "email"), &["/channel"]),
        (mailbox, mail("channel", "sms"), &["/channel"]),
        (mailbox, mail("type", "Email"), &["/type"]),
        (
            "/api/messages",
            without(&unified(&sms("a")), "channel"),
            &["/channel"],
        ),
        (
            "/api/messages",
            with(&unified(&sms("a")), "channel", "fax"),
            &["/channel"],
        ),
        (
            "/api/messages",
            with(&unified(&sms("a")), "channel", 1),
            &["/channel"],
        ),
        (
            "/api/messages",
            with(&unified(&sms("a")), "type", "mms"),
            &["/type"],
        ),
        (
            "/api/messages",
            with(&unified(&email("a")), "type", "sms"),
            &["/type"],
        ),
    ];
    for (route, body, pointers) in cases {
        world.post(route, &body).await.expect_invalid(pointers);
    }
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_refused() {
    let world = World::new().await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let with_deep = |levels| {
        let object = with(&sms("a"), "extra", "DEEP").to_string();
        object.replace("\"DEEP\"", &deep(levels))
    };
    let cases = [
        ("nothing", String::new()),
        ("no JSON", "from=+12016661234".to_owned()),
        ("cut off", "{\"from\": ".to_owned()),
        ("two", format!("{}{}", sms("a"), sms("b"))),
        ("a NUL byte", "{\"from\": \"\u{0}\"}".to_owned()),
        ("half a surrogate", "{\"from\": \"\\ud800\"}".to_owned()),
        ("a field twice", "{\"from\": \"a\", \"from\": \"b\"}".to_owned()),
        ("null", "null".to_owned()),
        ("text", "\"hello\"".to_owned()),
        ("a list", "[]".to_owned()),
        (
            "a list with the right fields",
            json!([SHOP, CUSTOMER, "sms", "a", null, null]).to_string(),
        ),
        ("deep from the start", deep(200)),
        ("deep in an unknown field", with_deep(128)),
        ("very deep in an unknown field", with_deep(50_000)),
    ];
    for (label, body) in cases {
        for route in ROUTES {
            let request = world.client.request("POST", route);
            let response = request.text("application/json", body.clone()).send().await;
            assert_eq!((response.status, label), (400, label), "{}", response.text());
            response.expect_problem(400, "invalid");
        }
    }
    let not_utf8 = b"{\"from\": \"\xff\"}".as_slice();
    let request = world.client.request("POST", "/api/messages/sms");
    request
        .text("application/json", not_utf8)
        .send()
        .await
        .expect_problem(400, "invalid");
    assert_eq!(world.messages_stored().await, 0);

    // The deepest nesting that is read, the object included.
    let request = world.client.request("POST", "/api/messages/sms");
    let deepest = request.text("application/json", with_deep(127)).send().await;
    deepest.expect_invalid(&["/extra"]);
}

#[tokio::test]
async fn a_channel_without_a_provider_is_a_500_and_not_stored() {
    let world = World::with(|settings| settings.only(&["sms-mms"])).await;
    for (route, body) in [
        ("/api/messages/email", email("a")),
        ("/api/messages", unified(&email("a"))),
    ] {
        let refused = world.post(route, &body).await;
        refused.expect_problem(500, "no_provider");
    }
    assert_eq!(world.messages_stored().await, 0);
    assert_eq!(world.metric("trunkline_invalid_routing_total").await, 2.0);
    world.sent(&sms("a")).await;
}

#[tokio::test]
async fn values_at_their_limits_are_accepted() {
    let world = World::new().await;
    let url = |length: usize| format!("https://example.com/{}", "a".repeat(length - 20));
    let ten: Value = (0..10).map(|_| url(2_048)).collect();
    world.sent(&with(&mms("a", &[]), "attachments", ten)).await;
    let sender = "a".repeat(11);
    world.sent(&with(&sms("a"), "from", sender)).await;
    let refused = world
        .post(ROUTES[0], &with(&sms("a"), "from", "a".repeat(12)))
        .await;
    refused.expect(400);
}

#[tokio::test]
async fn a_value_of_another_type_is_not_repeated() {
    let world = World::new().await;
    let picture = mms("a", &[]);
    for (body, detail) in [
        (with(&sms("a"), "to", json!([CUSTOMER])), "use a string"),
        (with(&sms("a"), "body", 4711), "use a string"),
        (
            with(&picture, "attachments", "https://example.com/4711"),
            "use an array",
        ),
        (with(&picture, "attachments", json!({"4711": 1})), "use an array"),
        (with(&picture, "attachments", json!([4711])), "use a string"),
    ] {
        let response = world.post("/api/messages/sms", &body).await.expect(400);
        assert_eq!(response.json()["errors"][0]["detail"], detail, "{body}");
    }
}
