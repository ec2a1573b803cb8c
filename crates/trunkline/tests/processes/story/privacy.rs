use hyper::Method;
use serde_json::json;

use crate::world::{Kind, SOON, World, on_both_databases};

on_both_databases!(no_log_line_holds_anything_personal);

async fn no_log_line_holds_anything_personal(kind: Kind) {
    let world = World::new(kind)
        .set("API_LOG", "trace")
        .set("API_KEYS", "open-sesame-key")
        .set("API_PROVIDER_ERROR_PCT", 40)
        .set("API_PROVIDER_TIMEOUT_PCT", 20)
        // This is about the log, not about how long an open breaker takes.
        .set("API_BREAKER_ERROR_THRESHOLD", 1000)
        .set("API_WORKER_CALL_TIMEOUT_MS", 50)
        .set("API_WORKER_BACKOFF_BASE_MS", 5);
    let node = world.start_node().await;
    let post = async |path: &str, key: &str, body| {
        let headers = [
            ("authorization", "Bearer open-sesame-key"),
            ("idempotency-key", key),
        ];
        node.ask(Method::POST, path, &headers, Some(&body)).await.status
    };
    let sms = |from, body| json!({"from": from, "to": "+18045550199", "type": "sms", "body": body});
    let email = json!({"from": "margaret@bakery.example", "to": "ines@harbour.example", "subject": "Wedding cake",
                       "body": "three tiers, lemon", "attachments": ["https://photos.example/cake.png"]});
    assert_eq!(
        post(
            "/api/messages/sms",
            "secret-idem-1",
            sms("+12016660142", "the crimson password")
        )
        .await,
        202
    );
    assert_eq!(
        post(
            "/api/messages/sms",
            "secret-idem-1",
            sms("+12016660142", "another scarlet one")
        )
        .await,
        422
    );
    assert_eq!(post("/api/messages/email", "secret-idem-2", email).await, 202);
    let webhook = json!({"from": "+18045550199", "to": "+12016660142", "type": "sms",
                         "messaging_provider_id": "carrier-ref-77", "body": "a turquoise answer"});
    assert_eq!(post("/api/webhooks/sms", "unused-key", webhook).await, 202);
    // What is malformed is logged, and must not be quoted.
    assert_eq!(
        post(
            "/api/messages/sms",
            "secret-idem-3",
            sms("+1201666014x", "the crimson password")
        )
        .await,
        400
    );
    let malformed = json!({"from": "ines at harbour", "to": 7, "body": "a turquoise answer", "xillio_id": "carrier-ref-78"});
    assert_eq!(post("/api/webhooks/email", "unused-key", malformed).await, 400);
    let path = "/api/conversations?participant=%2B18045550199&channel=sms";
    let found = node
        .ask(
            Method::GET,
            path,
            &[("authorization", "Bearer open-sesame-key")],
            None,
        )
        .await
        .expect(200);
    assert_eq!(found["meta"]["total"], 1);
    let wrong_key = [("authorization", "Bearer wrong-sesame-key")];
    assert_eq!(node.ask(Method::GET, path, &wrong_key, None).await.status, 401);
    world.until_all_final(SOON).await;
    let log = node.log();
    assert!(log.lines().count() > 10, "trace says something: {log}");
    for personal in [
        "crimson",
        "scarlet",
        "turquoise",
        "lemon",
        "Wedding",
        "cake",
        "margaret",
        "bakery",
        "ines",
        "harbour",
        "2016660142",
        "8045550199",
        "1201666014x",
        "secret-idem",
        "carrier-ref",
        "sesame",
        "unused-key",
    ] {
        let line = log.lines().find(|line| line.contains(personal));
        assert_eq!(line, None, "{personal} is in the log");
    }
}
