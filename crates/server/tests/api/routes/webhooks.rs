use std::collections::BTreeSet;

use engine::LimitSettings;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use trunkline_server::ApiKeys;

use crate::world::{Fault, Log, World, email_webhook, sms, sms_webhook, with, without};

const SMS: &str = "/api/webhooks/sms";
const EMAIL: &str = "/api/webhooks/email";

#[tokio::test]
async fn an_inbound_message_is_stored_and_shown() {
    let picture = json!({
        "from": "+18045551234", "to": "+12016661234", "type": "mms", "messaging_provider_id": "2", "body": "",
        "attachments": ["https://example.com/a.jpg"], "timestamp": "2024-11-01T14:00:00.000001Z",
    });
    let cases = [
        (SMS, "sms", "sms-mms", sms_webhook("1", "Hi, who is this?")),
        (SMS, "mms", "sms-mms", picture),
        (EMAIL, "email", "email", email_webhook("3", "<p>Thanks</p>")),
        (
            EMAIL,
            "email",
            "email",
            without(&email_webhook("4", "Thanks"), "subject"),
        ),
    ];
    for (route, channel, provider, sent) in cases {
        let world = World::new().await;
        let response = world.post(route, &sent).await.expect(202);
        let id = response.id();
        assert_eq!(
            response.json(),
            json!({"status": "accepted", "id": id, "conversation_id": "1"})
        );
        assert_eq!(response.header("content-type"), Some("application/json"));
        let shown = world.message(&id).await;
        let timestamp = sent.get("timestamp").unwrap_or(&shown["processed_at"]);
        let mut expected = json!({
            "id": id, "conversation_id": "1", "sequence": 1, "direction": "inbound", "channel": channel,
            "from": sent["from"], "to": sent["to"], "body": sent["body"], "snippet": sent["body"],
            "attachments": sent.get("attachments").cloned().unwrap_or_else(|| json!([])),
            "timestamp": timestamp, "processed_at": shown["processed_at"], "status": "received",
            "provider": provider, "attempts": [], "receipts": [],
        });
        if let Some(subject) = sent.get("subject") {
            expected["subject"] = subject.clone();
        }
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn a_reply_joins_the_conversation() {
    let world = World::new().await;
    world.sent(&sms("Hello")).await;
    let answer = with(&sms_webhook("1", "Hi"), "from", "+1 804 555-1234");
    let answer = world.post(SMS, &answer).await.expect(202);
    assert_eq!(answer.json()["conversation_id"], "1");
    assert_eq!(world.message(&answer.id()).await["sequence"], 2);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_changes_nothing() {
    let log = Log::capture();
    let world = World::new().await;
    let mock = "/api/provider/mock/inbound";
    let first = world.post(SMS, &sms_webhook("m-1", "Hi")).await.expect(202);
    let (shown, conversation) = (
        world.message(&first.id()).await,
        world.get("/api/conversations/1").await.json(),
    );
    let another_body = sms_webhook("m-1", "Something else");
    let respelt = with(&sms_webhook("m-1", "Hi"), "from", "+1 (804) 555-1234");
    let as_mms = with(&sms_webhook("m-1", "Hi"), "type", "mms");
    let simulated = json!({
        "channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi", "provider_message_id": "m-1",
    });
    for (route, repeat) in [
        (SMS, sms_webhook("m-1", "Hi")),
        (SMS, respelt),
        (SMS, another_body),
        (SMS, as_mms),
        (mock, simulated),
    ] {
        let response = world.post(route, &repeat).await.expect(202);
        assert_eq!(response.json(), first.json(), "{repeat}");
    }
    assert_eq!(world.messages_stored().await, 1);
    assert_eq!(world.message(&first.id()).await, shown);
    let listed = world.get("/api/conversations").await.json();
    assert_eq!(listed["items"], json!([conversation]));
    let accepted = "trunkline_messages_accepted_total{channel=\"sms\",direction=\"inbound\"}";
    assert_eq!(world.metric(accepted).await, 1.0);

    // The content differs: by the body, and by the channel.
    assert_eq!(world.metric("trunkline_inbound_conflicts_total").await, 2.0);
    let warnings = log.lines_with("repeated a message id with other content");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for warning in &warnings {
        let ids = [
            format!("message_id={}", first.id()),
            "conversation_id=1".to_owned(),
            "provider=sms-mms".to_owned(),
        ];
        assert!(
            ids.iter().all(|id| warning.contains(id)) && warning.contains("WARN"),
            "{warning}"
        );
    }
    assert!(!log.text().contains("Something else") && !log.text().contains("804555"));

    // Ids of another provider, or with other letters, are other ids.
    for (route, other) in [
        (EMAIL, email_webhook("m-1", "Hi")),
        (SMS, sms_webhook("M-1", "Hi")),
        (SMS, sms_webhook("m-1 ", "Hi")),
    ] {
        let response = world.post(route, &other).await.expect(202);
        assert_ne!(response.id(), first.id(), "{other}");
    }
    assert_eq!(world.messages_stored().await, 4);
}

/// One email to two addresses has one Message-ID.
#[tokio::test]
async fn the_same_id_with_other_participants_is_another_message() {
    let world = World::new().await;
    let email = email_webhook("<1@example.com>", "Hi");
    let mut ids = BTreeSet::new();
    for body in [
        email.clone(),
        with(&email, "to", "support@example.com"),
        with(&email, "from", "other@example.com"),
    ] {
        let id = world.post(EMAIL, &body).await.expect(202).id();
        assert_eq!(world.message(&id).await["to"], body["to"]);
        assert_eq!(world.post(EMAIL, &body).await.expect(202).id(), id);
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);
    assert_eq!(world.metric("trunkline_inbound_conflicts_total").await, 0.0);
}

#[tokio::test]
async fn concurrent_repeats_are_one_message() {
    let world = World::new().await;
    let mut repeats = JoinSet::new();
    for number in 0..24 {
        let client = world.client;
        repeats.spawn(async move {
            let body = sms_webhook("m-1", &format!("try {number}"));
            client.post(SMS, &body).await.expect(202).json()
        });
    }
    let answers = repeats.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.messages_stored().await, 1);
    let conversation = world.get("/api/conversations/1").await.expect(200).json();
    assert_eq!(conversation["message_count"], 1);
}

#[tokio::test]
async fn a_malformed_message_is_counted_and_logged_once_and_not_stored() {
    const SECRET: &str = "only-for-her-eyes";
    let sms = sms_webhook("m-1", SECRET);
    let email = email_webhook("m-1", SECRET);
    let cases: Vec<(&str, Value, &[&str])> = vec![
        (
            SMS,
            without(&sms, "messaging_provider_id"),
            &["/messaging_provider_id"],
        ),
        (
            SMS,
            with(&sms, "messaging_provider_id", ""),
            &["/messaging_provider_id"],
        ),
        (
            SMS,
            with(&sms, "messaging_provider_id", 1.5),
            &["/messaging_provider_id"],
        ),
        // It was rounded when it was parsed, so it may be another id.
        (
            SMS,
            with(&sms, "messaging_provider_id", 1e25),
            &["/messaging_provider_id"],
        ),
        (
            SMS,
            with(&sms, "messaging_provider_id", "a\u{0}"),
            &["/messaging_provider_id"],
        ),
        (
            SMS,
            with(&sms, "messaging_provider_id", "a".repeat(256)),
            &["/messaging_provider_id"],
        ),
        (EMAIL, without(&email, "xillio_id"), &["/xillio_id"]),
        (EMAIL, with(&email, "xillio_id", Value::Null), &["/xillio_id"]),
        (SMS, without(&sms, "type"), &["/type"]),
        (SMS, with(&sms, "type", "email"), &["/type"]),
        (SMS, with(&sms, "from", "nobody at all"), &["/from"]),
        (SMS, with(&sms, "to", SECRET), &["/to"]),
        (SMS, with(&sms, "channel", "mms"), &["/type"]),
        (SMS, with(&sms, "body", 5), &["/body"]),
        (EMAIL, with(&email, "channel", "sms"), &["/channel"]),
        (EMAIL, with(&email, "from", SECRET), &["/from"]),
        (EMAIL, with(&email, "subject", 5), &["/subject"]),
        (
            EMAIL,
            with(&email, "attachments", json!([5])),
            &["/attachments/0"],
        ),
        (SMS, json!([]), &[""]),
        (
            SMS,
            json!({"type": "sms", "from": ""}),
            &["/from", "/to", "/messaging_provider_id"],
        ),
    ];
    let log = Log::capture();
    let world = World::new().await;
    let mut refused = 0;
    for (route, body, pointers) in cases {
        world.post(route, &body).await.expect_invalid(pointers);
        refused += 1;
        let lines = log.lines_with("validation error");
        assert_eq!(lines.len(), refused, "{body}");
        let line = lines.last().unwrap();
        assert!(
            line.contains("WARN") && line.contains("reason=\"invalid\""),
            "{line}"
        );
        assert!(
            line.contains(&format!("fields=\"{}\"", pointers.join(" "))),
            "{line}"
        );
        assert!(line.contains("request_id=") && line.contains(route), "{line}");
    }
    assert_eq!(rejected(&world, "invalid").await, f64::from(refused as u32));

    let form = world
        .client
        .request("POST", SMS)
        .text("text/plain", sms.to_string());
    form.send().await.expect_problem(415, "unsupported_media_type");
    let large = with(&sms, "body", "a".repeat(300_000));
    world
        .post(SMS, &large)
        .await
        .expect_problem(413, "body_too_large");
    for reason in ["unsupported_media_type", "body_too_large"] {
        assert_eq!(rejected(&world, reason).await, 1.0, "{reason}");
    }
    assert_eq!(log.lines_with("validation error").len(), refused + 2);

    assert_eq!(world.messages_stored().await, 0);
    assert!(!log.text().contains(SECRET), "{:?}", log.lines_with(SECRET));
    // After a correction it is accepted.
    world.post(SMS, &sms).await.expect(202);
}

/// A provider drops a message that is refused, so only what cannot be stored is refused.
#[tokio::test]
async fn a_message_is_not_refused_for_a_formality() {
    const URL: &str = "https://example.com/a.jpg";
    let sms = sms_webhook("1", "Hi");
    let mms = with(&sms, "type", "mms");
    let mms_with = |body: Value| with(&with(&mms, "attachments", json!([URL])), "body", body);
    let email = email_webhook("1", "Hi");
    let from = |spelling: &str| with(&email, "from", spelling);
    let subject = |text: &str| with(&email, "subject", text);
    let customer = json!({"from": "customer@example.com"});
    let person = json!({"from": "+18045551234"});
    let (silent, shown) = (json!({"body": ""}), json!({"body": "Hi"}));
    let only_subject = json!({"body": "", "subject": "Re: Your order"});
    let with_photo = json!({"body": "", "attachments": [URL]});
    let only_url = json!({"attachments": [URL]});
    let as_mms = json!({"channel": "mms", "attachments": [URL]});
    // A NUL cannot be stored.
    let (replaced, replaced_subject) = (json!({"body": "a\u{fffd}b"}), json!({"subject": "a\u{fffd}b"}));
    let one_line = json!({"subject": "Your order is on its way"});
    let cases: Vec<(&str, Value, &Value)> = vec![
        (SMS, with(&sms, "body", ""), &silent),
        (SMS, with(&sms, "body", Value::Null), &silent),
        (SMS, without(&sms, "body"), &silent),
        (SMS, with(&sms, "attachments", Value::Null), &shown),
        (SMS, with(&sms, "attachments", json!([])), &shown),
        (SMS, with(&sms, "attachments", json!([URL])), &as_mms),
        (SMS, with(&mms, "attachments", json!(vec![URL; 11])), &shown),
        (
            SMS,
            with(&sms, "attachments", json!(["cid:1", "data:,a", ""])),
            &shown,
        ),
        (
            SMS,
            with(&mms, "attachments", json!(["https://a b/", URL])),
            &only_url,
        ),
        (SMS, with(&sms, "body", "a\u{0}b"), &replaced),
        (EMAIL, with(&email, "body", "a\u{0}b"), &replaced),
        (EMAIL, subject("a\u{0}b"), &replaced_subject),
        (SMS, mms.clone(), &shown),
        (SMS, with(&mms, "attachments", Value::Null), &shown),
        (SMS, with(&mms, "body", ""), &silent),
        (SMS, without(&mms, "body"), &silent),
        (SMS, mms_with(Value::Null), &with_photo),
        (SMS, mms_with(json!("")), &with_photo),
        (SMS, without(&mms_with(Value::Null), "body"), &with_photo),
        (EMAIL, with(&email, "body", ""), &only_subject),
        (EMAIL, with(&email, "body", Value::Null), &only_subject),
        (EMAIL, without(&email, "body"), &only_subject),
        (
            EMAIL,
            without(
                &without(&with(&email, "attachments", json!([URL])), "body"),
                "subject",
            ),
            &with_photo,
        ),
        (EMAIL, without(&without(&email, "body"), "subject"), &silent),
        (EMAIL, with(&email, "subject", Value::Null), &shown),
        (SMS, with(&sms, "messaging_provider_id", "1\r\n"), &shown),
        (EMAIL, from("customer@example.com (Jane Doe)"), &shown),
        // Names of channels and ids.
        (SMS, with(&sms, "type", "SMS"), &shown),
        (SMS, with(&sms, "type", " Sms "), &shown),
        (SMS, with(&without(&sms, "type"), "channel", "MMS"), &shown),
        (EMAIL, with(&email, "type", "Email"), &shown),
        (EMAIL, with(&email, "channel", "EMAIL"), &shown),
        (SMS, with(&sms, "messaging_provider_id", 4711), &shown),
        (SMS, with(&sms, "messaging_provider_id", u64::MAX), &shown),
        (EMAIL, with(&email, "xillio_id", -4711), &shown),
        (SMS, with(&sms, "from", 18_045_551_234_u64), &shown),
        (SMS, with(&sms, "to", 12_345), &shown),
        // Headers.
        (EMAIL, subject("Your order\r\n is on its way"), &one_line),
        (EMAIL, subject("Your order\r\n\t is on its way"), &one_line),
        (EMAIL, subject("Your order\nis on its way"), &one_line),
        (EMAIL, subject("Your order\ris on its way\r\n"), &one_line),
        (EMAIL, with(&email, "unknown", json!({"is": ["ignored"]})), &shown),
        (EMAIL, from("Al Customer <customer@example.com>"), &customer),
        (EMAIL, from("\"Customer, Al\" <customer@example.com>"), &customer),
        (EMAIL, from("<customer@example.com>"), &customer),
        (EMAIL, from(" customer@example.com\r\n"), &customer),
        (EMAIL, with(&email, "to", "Shop <shop@example.com>"), &shown),
        (SMS, with(&sms, "from", "My Bank"), &shown),
        (SMS, with(&sms, "from", "+18045551234\r\n"), &person),
    ];
    for (route, body, expected) in cases {
        let world = World::new().await;
        let id = world.post(route, &body).await.expect(202).id();
        let message = world.message(&id).await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(message[field], *value, "{field} of {body}");
        }
        assert_eq!(world.post(route, &body).await.expect(202).id(), id, "{body}");
        assert_eq!(world.messages_stored().await, 1, "{body}");
    }
}

#[tokio::test]
async fn a_timestamp_that_is_no_time_is_the_time_of_processing() {
    let world = World::new().await;
    let values = [
        json!(1_764_000_000),
        json!(1.5),
        json!(true),
        json!([]),
        json!({"seconds": 1}),
        json!(""),
        json!("Sat, 21 Nov 2026 10:00:00 +0000"),
        json!("0001-01-01T00:00:00Z"),
        json!(null),
    ];
    for (number, value) in values.into_iter().enumerate() {
        for (route, body) in [
            (SMS, sms_webhook(&number.to_string(), "Hi")),
            (EMAIL, email_webhook(&number.to_string(), "Hi")),
        ] {
            let response = world.post(route, &with(&body, "timestamp", value.clone())).await;
            let message = world.message(&response.expect(202).id()).await;
            assert_eq!(message["timestamp"], message["processed_at"], "{value}");
        }
    }
}

#[tokio::test]
async fn a_message_is_taken_whatever_answer_its_provider_accepts() {
    let world = World::new().await;
    for (number, accept) in [
        "text/html",
        "*",
        "application/xml;q=0.1",
        "application/json;q=0",
        ";;,",
    ]
    .into_iter()
    .enumerate()
    {
        let mock = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi"});
        for (route, body) in [
            (SMS, sms_webhook(&number.to_string(), "Hi")),
            (EMAIL, email_webhook(&number.to_string(), "Hi")),
            ("/api/provider/mock/inbound", mock),
        ] {
            let request = world.client.request("POST", route).header("accept", accept);
            request.json(&body).send().await.expect(202);
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let world = World::new().await;
    let body = format!("\u{feff}{}", sms_webhook("1", "Hi"));
    let request = world.client.request("POST", SMS).text("application/json", body);
    request.send().await.expect(202);
}

/// Providers cut long texts, and some cut between the two halves of an emoji.
#[tokio::test]
async fn half_an_emoji_is_replaced() {
    let world = World::new().await;
    for (number, (escaped, expected)) in [
        (r"Hi \ud83d", "Hi \u{fffd}"),
        (r"\uDE00\ud83d\uDE00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\\ud83d \ud83dx", "\\ud83d \u{fffd}x"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = sms_webhook(&number.to_string(), "BODY").to_string();
        let body = body.replace("BODY", escaped);
        let request = world.client.request("POST", SMS).text("application/json", body);
        let message = world.message(&request.send().await.expect(202).id()).await;
        assert_eq!(message["body"], expected, "{escaped}");
    }
    let cut = sms_webhook("5", "BODY").to_string().replace("BODY", r"\ud83");
    let request = world.client.request("POST", SMS).text("application/json", cut);
    request.send().await.expect_invalid(&["/body"]);
}

#[tokio::test]
async fn a_query_names_the_provider_that_brings_a_message() {
    let world = World::new().await;
    let shown = async |target: &str, id: &str| {
        let response = world.post(target, &sms_webhook(id, "Hi")).await;
        world.message(&response.expect(202).id()).await["provider"].clone()
    };
    assert_eq!(shown(SMS, "1").await, "sms-mms");
    assert_eq!(
        shown(&format!("{SMS}?provider=email&unknown=1"), "1").await,
        "email"
    );
    assert_eq!(shown(&format!("{SMS}?provider="), "2").await, "sms-mms");
    // Each provider has ids of its own.
    assert_eq!(world.messages_stored().await, 3);

    let target = format!("{SMS}?provider=nowhere");
    let refused = world.post(&target, &sms_webhook("3", "Hi")).await;
    let detail = refused.json()["errors"][0]["detail"].clone();
    assert_eq!(detail, "use the name of a configured provider: sms-mms, email");
    refused.expect_invalid(&["provider"]);
    assert_eq!(rejected(&world, "invalid").await, 1.0);
    assert_eq!(world.messages_stored().await, 3);
}

#[tokio::test]
async fn an_inbound_message_without_a_configured_provider_is_counted_and_may_be_repeated() {
    let world = World::with(|settings| settings.only(&["sms-mms"])).await;
    let refused = world.post(EMAIL, &email_webhook("1", "Hi")).await;
    refused.expect_problem(500, "no_provider");
    assert_eq!(rejected(&world, "no_provider").await, 1.0);
    assert_eq!(world.metric("trunkline_invalid_routing_total").await, 1.0);
    assert_eq!(world.messages_stored().await, 0);
    let named = format!("{EMAIL}?provider=sms-mms");
    world.post(&named, &email_webhook("1", "Hi")).await.expect(202);
}

/// Its provider drops it, so the operator must learn of it, also if no handler saw it.
#[tokio::test]
async fn every_refusal_of_an_inbound_message_is_counted() {
    const MOCK: &str = "/api/provider/mock/inbound";
    let mut world = World::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(1, 1, 4);
    })
    .await;
    let headers: Vec<String> = (0..70).map(|number| format!("x-{number}")).collect();
    for (route, number) in [(SMS, 1.0), (EMAIL, 2.0), (MOCK, 3.0)] {
        let elsewhere = world.client.request("POST", route);
        let elsewhere = elsewhere.replaced_header("host", "example.com").send().await;
        elsewhere.expect_problem(421, "misdirected");
        assert_eq!(rejected(&world, "misdirected").await, number, "{route}");
        let request = world.client.request("POST", route);
        let request = headers
            .iter()
            .fold(request, |request, name| request.header(name, "a"));
        request.send().await.expect_problem(431, "headers_too_large");
        assert_eq!(rejected(&world, "headers_too_large").await, number, "{route}");
    }
    let unknown = world.post(&format!("{MOCK}?provder=email"), &json!({})).await;
    unknown.expect_invalid(&["provder"]);
    assert_eq!(rejected(&world, "invalid").await, 1.0);
    world.store.set(Fault::Away);
    let refused = world.post(SMS, &sms_webhook("1", "Hi")).await;
    refused.expect_problem(503, "store_unavailable");
    assert_eq!(rejected(&world, "store_unavailable").await, 1.0);
    world.store.set(Fault::None);
    for _ in 0..3 {
        world.post(SMS, &sms_webhook("1", "Hi")).await.expect(202);
    }
    let refused = world.post(SMS, &sms_webhook("1", "Hi")).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(rejected(&world, "rate_limited").await, 1.0);

    world = World::with(|settings| settings.server.api_keys = ApiKeys::new(["key"])).await;
    world.post(SMS, &sms_webhook("1", "Hi")).await.expect(401);
    // These bring no message.
    world.get(SMS).await.expect(401);
    world.post("/api/messages/sms", &json!({})).await.expect(401);
    let metrics = world.client.request("GET", "/metrics");
    let metrics = metrics.header("authorization", "Bearer key").send().await;
    let counted = "trunkline_inbound_rejected_total{reason=\"unauthorized\"} 1\n";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

async fn rejected(world: &World, reason: &str) -> f64 {
    let metric = format!("trunkline_inbound_rejected_total{{reason=\"{reason}\"}}");
    world.metric(&metric).await
}

#[tokio::test]
async fn text_is_kept_to_the_byte() {
    let world = World::new().await;
    let body = "  Ca\u{301}fe\u{301} \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \r\n\t<script>alert('&')</script> \\ \"q\" \u{202e}\u{feff}\u{ffff} \u{7f} ";
    let subject = "\u{1f4e6}\t of <you>";
    for (route, sent) in [
        (SMS, sms_webhook("1", body)),
        (EMAIL, with(&email_webhook("2", body), "subject", subject)),
    ] {
        let id = world.post(route, &sent).await.expect(202).id();
        let shown = world.message(&id).await;
        assert_eq!(shown["body"], body);
        assert_eq!(shown.get("subject"), sent.get("subject"));
    }
}

#[tokio::test]
async fn the_payload_is_stored_as_it_came() {
    let world = World::new().await;
    let raw = "\n{ \"note\":\"\\u0000 \\/\", \"body\":\"Hi \\u00e9é\",\t\"type\":\"sms\",\r\n\"to\":\"+12016661234\",\
               \"from\":\"(804) 555-1234\",\"messaging_provider_id\":\"1\",\"n\":1.50e+01 } ";
    let request = world.client.request("POST", SMS).text("application/json", raw);
    request.send().await.expect(202);
    assert_eq!(world.store.payloads(), [raw]);

    // A payload that is not text is refused, even if the wrong bytes are in an unknown field.
    let mut not_utf8 = sms_webhook("2", "a")
        .to_string()
        .replace('}', ",\"note\":\"")
        .into_bytes();
    not_utf8.extend(b"\xff\"}");
    let request = world
        .client
        .request("POST", SMS)
        .text("application/json", not_utf8);
    request.send().await.expect_invalid(&[""]);
    assert_eq!(world.messages_stored().await, 1);
}
