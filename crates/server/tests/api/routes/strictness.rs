//! Misspelt fields and parameters are refused by name on every route but the inbound webhooks.

use serde_json::{Value, json};

use crate::world::{Response, World, email, email_webhook, read_to_end, sms, sms_webhook, unified, with};

/// Every operation of the description, with a body it takes, and whether it ignores unknown names.
async fn operations(world: &World) -> Vec<(String, String, Option<Value>, bool)> {
    let id = world.sent(&sms("a")).await;
    let endpoint = json!({"url": "https://example.com/hook"});
    let endpoint = world
        .post("/api/webhook-endpoints", &endpoint)
        .await
        .expect(201)
        .id();
    let description: Value = serde_json::from_str(trunkline_server::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let path_id = match path {
            path if path.contains("conversations") => "1",
            path if path.contains("webhook-endpoints") => &endpoint,
            _ => &id,
        };
        for (method, operation) in item.as_object().unwrap() {
            let (method, target) = (method.to_uppercase(), path.replace("{id}", path_id));
            let body = body(&method, path);
            assert_eq!(
                body.is_some(),
                operation.get("requestBody").is_some(),
                "{method} {path}"
            );
            operations.push((method, target, body, path.starts_with("/api/webhooks/")));
        }
    }
    operations
}

fn body(method: &str, path: &str) -> Option<Value> {
    let body = match (method, path) {
        ("POST", "/api/messages") => unified(&sms("a")),
        ("POST", "/api/messages/sms") => sms("a"),
        ("POST", "/api/messages/email") => email("a"),
        ("POST", "/api/messages/redrive") => json!({"channel": "sms"}),
        ("POST", "/api/webhooks/sms") => sms_webhook("1", "a"),
        ("POST", "/api/webhooks/email") => email_webhook("1", "a"),
        ("POST", "/api/provider/mock/inbound") => unified(&sms("a")),
        ("PUT", "/api/provider/mock/config") => json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}),
        ("POST", "/api/webhooks/receipts") => json!({"provider_message_id": "1", "status": "delivered"}),
        ("POST", "/api/provider/mock/receipt") => {
            json!({"message_id": "01890a5d-ac96-774b-bcce-b302099a8057", "status": "delivered"})
        }
        ("POST", "/api/webhook-endpoints") => json!({"url": "https://example.com/hook"}),
        ("PATCH", "/api/webhook-endpoints/{id}") => json!({"enabled": true}),
        ("POST", "/api/webhook-endpoints/{id}/replay") => json!({"failed": true}),
        _ => return None,
    };
    Some(body)
}

async fn ask(world: &World, method: &str, target: &str, body: Option<&Value>) -> Response {
    let request = world.client.request(method, target);
    match body {
        Some(body) => request.json(body).send().await,
        None => request.send().await,
    }
}

#[tokio::test]
async fn every_route_but_the_inbound_webhooks_refuses_unknown_names() {
    let world = World::new().await;
    for (method, target, body, is_lenient) in operations(&world).await {
        let asked = ask(&world, &method, &format!("{target}?unheard_of=1"), body.as_ref()).await;
        if is_lenient {
            asked.expect(202);
        } else {
            asked.expect_invalid(&["unheard_of"]);
        }
        if let Some(body) = &body {
            let body = with(&with(body, "unheard_of", 1), "Also~/that", json!({"body": 1}));
            let asked = ask(&world, &method, &target, Some(&body)).await;
            if is_lenient {
                asked.expect(202);
            } else {
                asked.expect_invalid(&["/Also~0~1that", "/unheard_of"]);
            }
        }
    }
    // The first message and one of each webhook.
    assert_eq!(world.messages_stored().await, 3);
}

#[tokio::test]
async fn a_misspelt_name_is_answered_with_the_likely_one() {
    let world = World::new().await;
    let config = |field: &str, value: Value| {
        let calm = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
        Some(with(&calm, field, value))
    };
    let cases: Vec<(&str, &str, Option<Value>, &str, &str)> = vec![
        (
            "POST",
            "/api/messages/redrive",
            Some(json!({"provider": "sms-mms", "failedBefore": "2026-11-21T10:00:00Z"})),
            "/failedBefore",
            "is unknown: did you mean failed_before?",
        ),
        (
            "POST",
            "/api/messages/email",
            Some(with(&email("a"), "cc", "other@example.com")),
            "/cc",
            "is unknown: known are ",
        ),
        (
            "POST",
            "/api/messages/sms",
            Some(with(&sms("a"), "Attachment", json!([]))),
            "/Attachment",
            "is unknown: did you mean attachments?",
        ),
        (
            "PUT",
            "/api/provider/mock/config",
            config("recipients", json!({})),
            "/recipients",
            "is unknown: known are ",
        ),
        (
            "PUT",
            "/api/provider/mock/config",
            config("providers", json!({"email": {"errorPct": 100}})),
            "/providers/email/errorPct",
            "is unknown: did you mean error_pct?",
        ),
        // It takes no fields: a client that names a provider would expect the message to go there.
        (
            "POST",
            "/api/messages/01890a5d-ac96-774b-bcce-b302099a8057/redrive",
            Some(json!({"provider": "backup"})),
            "/provider",
            "is unknown: leave it out",
        ),
        (
            "GET",
            "/api/messages?page_size=1",
            None,
            "page_size",
            "is unknown: did you mean pageSize?",
        ),
        (
            "GET",
            "/api/messages?Status=failed",
            None,
            "Status",
            "is unknown: did you mean status?",
        ),
        (
            "GET",
            "/api/messages?recipient=%2B18045551234",
            None,
            "recipient",
            "is unknown: known are ",
        ),
        (
            "GET",
            "/api/messages?conversationId=1",
            None,
            "conversationId",
            "is unknown: did you mean conversation_id?",
        ),
        (
            "GET",
            "/api/conversations?participants=Shop",
            None,
            "participants",
            "is unknown: did you mean participant?",
        ),
        (
            "GET",
            "/api/conversations/1/messages?status=failed",
            None,
            "status",
            "is unknown: known are ",
        ),
        (
            "GET",
            "/api/providers?name=email",
            None,
            "name",
            "is unknown: leave it out",
        ),
        (
            "GET",
            "/readyz?verbose",
            None,
            "verbose",
            "is unknown: leave it out",
        ),
        (
            "POST",
            "/api/messages/sms?from=Shop",
            Some(sms("a")),
            "from",
            "is unknown: leave it out",
        ),
        (
            "GET",
            "/api/messages?%FF=1",
            None,
            "\u{fffd}",
            "is unknown: known are ",
        ),
    ];
    for (method, target, body, pointer, detail) in cases {
        let asked = ask(&world, method, target, body.as_ref()).await;
        assert_eq!((asked.status, target), (400, target), "{asked}");
        let error = &asked.expect_invalid(&[pointer]).json()["errors"][0];
        assert!(
            error["detail"].as_str().unwrap().starts_with(detail),
            "{target}: {error}"
        );
    }
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn a_parameter_is_given_once_and_with_a_value() {
    let world = World::new().await;
    for (query, pointers) in [
        ("channel=sms&channel=sms", vec!["channel"]),
        (
            "channel=sms&channel=email&channel=mms",
            vec!["channel", "channel"],
        ),
        ("channel=&status=failed", vec!["channel"]),
        ("channel", vec!["channel"]),
        ("cursor=&pageSize=&page=", vec!["cursor", "pageSize", "page"]),
        ("=", vec![""]),
    ] {
        let refused = world.get(&format!("/api/messages?{query}")).await;
        refused.expect_invalid(&pointers);
    }
    for query in ["", "&", "&&channel=sms&"] {
        world.get(&format!("/api/messages?{query}")).await.expect(200);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_names_gets_a_short_answer() {
    let world = World::new().await;
    let mut body = sms("a");
    for number in 0..1_000 {
        body[format!("{}{number}", "x".repeat(100))] = json!(1);
    }
    let refused = world.post("/api/messages/sms", &body).await.expect(400);
    assert!(refused.body.len() < 8_192, "{}", refused.body.len());
    let query: String = (0..1_000).map(|number| format!("x{number}=&")).collect();
    let refused = world.get(&format!("/api/messages?{query}")).await.expect(400);
    assert!(refused.body.len() < 8_192, "{}", refused.body.len());
}

#[tokio::test]
async fn a_wrong_value_and_an_unknown_name_are_reported_together() {
    let world = World::new().await;
    let body = with(&with(&sms("a"), "From", "Shop"), "to", 5);
    let refused = world.post("/api/messages/sms", &body).await;
    refused.expect_invalid(&["/to", "/From"]);
}

#[tokio::test]
async fn a_head_request_is_as_strict_as_a_get() {
    let world = World::new().await;
    for (query, status) in [("status=failed", "200"), ("unknown=1", "400")] {
        let head = format!("HEAD /api/messages?{query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = read_to_end(world.client.begin(head).await).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{query}: {answer}"
        );
    }
}
