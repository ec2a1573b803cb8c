use serde_json::json;

use crate::world::{Fault, Log, World, sms, sms_webhook};

#[tokio::test]
async fn a_problem_says_what_happened_and_where() {
    let world = World::new().await;
    let request = world.client.request("GET", "/api/messages/nobody");
    let response = request.header("x-request-id", "order-17:retry").send().await;
    assert_eq!(
        response.expect(404).json(),
        json!({
            "type": "urn:trunkline:problem:not_found", "title": "Not Found", "status": 404,
            "detail": "There is no such message: check the id.", "instance": "/api/messages/nobody", "code": "not_found",
            "request_id": "order-17:retry",
        })
    );
    let invalid = world
        .post("/api/messages/sms", &json!({"type": "sms"}))
        .await
        .expect(400);
    let problem = invalid.json();
    assert_eq!(
        problem,
        json!({
            "type": "urn:trunkline:problem:invalid", "title": "Bad Request", "status": 400,
            "detail": "The request is not valid: see errors for what to change.",
            "instance": "/api/messages/sms", "code": "invalid", "request_id": problem["request_id"],
            "errors": [
                {"pointer": "/from", "detail": "is required"},
                {"pointer": "/to", "detail": "is required"},
                {"pointer": "/body", "detail": "is required"},
            ],
        })
    );
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_logged() {
    let log = Log::capture();
    let world = World::new().await;
    let longest = "x".repeat(128);
    for path in ["/healthz", "/api/messages", "/nowhere"] {
        for id in ["order-17:retry", "a", &longest, "7f/3=+._-"] {
            let request = world.client.request("GET", path).header("x-request-id", id);
            assert_eq!(request.send().await.header("x-request-id"), Some(id));
            assert!(
                !log.lines_with(&format!("request_id=\"{id}\"")).is_empty(),
                "{id}"
            );
        }
        let too_long = "x".repeat(129);
        let mut made = Vec::new();
        for id in ["", "two words", "<script>", &too_long, "\"quoted\"", "ключ"] {
            let request = world.client.request("GET", path).header("x-request-id", id);
            let response = request.send().await;
            made.push(response.header("x-request-id").unwrap().to_owned());
        }
        made.push(world.get(path).await.header("x-request-id").unwrap().to_owned());
        for id in &made {
            assert!(
                id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
            assert_eq!(made.iter().filter(|other| *other == id).count(), 1, "{id}");
        }
    }
}

#[tokio::test]
async fn the_log_leads_from_a_request_to_its_message() {
    let log = Log::capture();
    let world = World::new().await;
    let answered = |id: &str, level: &str| {
        let lines = log.lines_with(&format!("request_id=\"{id}\""));
        let line = lines.iter().find(|line| line.contains("answered")).unwrap();
        assert!(line.contains(&format!(" {level} ")), "{line}");
        line.clone()
    };
    let webhook = sms_webhook("1", "b");
    for (path, body) in [("/api/messages/sms", &sms("a")), ("/api/webhooks/sms", &webhook)] {
        let request = world.client.request("POST", path).header("x-request-id", path);
        let message = request.json(body).send().await.expect(202).json();
        let line = answered(path, "INFO");
        let ids = format!(
            "message_id={} conversation_id={}",
            message["id"].as_str().unwrap(),
            message["conversation_id"].as_str().unwrap()
        );
        assert!(line.contains(&ids), "{line}");
    }
    let id = world.sent(&sms("c")).await;
    let redrive = format!("/api/messages/{id}/redrive");
    let request = world
        .client
        .request("POST", &redrive)
        .header("x-request-id", "redrive");
    request.send().await.expect(409);
    assert!(answered("redrive", "INFO").contains(&format!("message_id={id}")));
    let request = world
        .client
        .request("GET", "/api/messages")
        .header("x-request-id", "read");
    request.send().await.expect(200);
    assert!(!answered("read", "DEBUG").contains("message_id"));
}

#[tokio::test]
async fn no_body_address_or_key_reaches_the_log() {
    const SECRETS: [&str; 4] = [
        "5550199",
        "customer-77",
        "top-secret-body",
        "secret-idempotency-key",
    ];
    let log = Log::capture();
    let world = World::new().await;
    let text =
        json!({"from": "+12015550199", "to": "+18045550199", "type": "sms", "body": "top-secret-body"});
    let mail =
        json!({"from": "customer-77@example.com", "to": "shop@example.com", "body": "top-secret-body"});
    for (route, body) in [("/api/messages/sms", &text), ("/api/messages/email", &mail)] {
        let sent = world.post_with_key(route, "secret-idempotency-key", body).await;
        if sent.status == 202 {
            world.until(&sent.id(), "dispatched").await;
        }
        for fault in [Fault::Away, Fault::Refuses] {
            world.store.set(fault);
            world.post(route, body).await;
        }
        world.store.set(Fault::None);
        world
            .post_with_key(
                route,
                "secret-idempotency-key",
                &json!({"body": "top-secret-body"}),
            )
            .await
            .expect(400);
    }
    world
        .get("/api/conversations?participant=%2B12015550199")
        .await
        .expect(200);
    let log = log.text();
    assert!(
        log.contains("the database refuses a message: the client gets 500 and nothing is stored"),
        "{log}"
    );
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret}");
    }
}
