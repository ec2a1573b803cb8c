use hyper::Method;
use serde_json::{Value, json};

use crate::world::{Kind, SOON, World, on_both_databases};

on_both_databases!(the_log_leads_from_a_request_to_the_last_attempt);

async fn the_log_leads_from_a_request_to_the_last_attempt(kind: Kind) {
    let world = World::new(kind)
        .set("API_LOG", "info,trunkline_engine=debug")
        .set("API_PROVIDER_ERROR_PCT", 100)
        .set("API_WORKER_MAX_ATTEMPTS", 3)
        .set("API_WORKER_BACKOFF_BASE_MS", 5);
    let node = world.start_node().await;
    let body = json!({"from": "+12016660142", "to": "+18045550199", "type": "sms", "body": "find me"});
    let headers = [("x-request-id", "the-one-to-find")];
    let sent = node
        .ask(Method::POST, "/api/messages/sms", &headers, Some(&body))
        .await
        .expect(202);
    world.until_all_final(SOON).await;

    let log = node.log();
    let spans = || {
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|mut line| line["span"].take())
    };
    let request = spans().find(|span| span["request_id"] == "the-one-to-find");
    let id = request.expect("the request is in the log")["message_id"].take();
    assert_eq!(id, sent["id"]);
    let attempts: Vec<Value> = spans()
        .filter(|span| span["name"] == "attempt" && span["message_id"] == id)
        .map(|mut span| span["attempt"].take())
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
}
