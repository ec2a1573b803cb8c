use serde_json::json;

use crate::world::{Kind, SOON, World, on_both_databases};

on_both_databases!(a_channel_without_a_provider_is_refused_counted_and_logged);

async fn a_channel_without_a_provider_is_refused_counted_and_logged(kind: Kind) {
    const SENDS: usize = 3;
    let world = World::new(kind).set("API_PROVIDER_EMAIL_ENABLED", false);
    let node = world.start_node().await;
    let email =
        json!({"from": "desk@example.org", "to": "guest@example.com", "subject": "Hi", "body": "Hello"});
    for _ in 0..SENDS {
        let refused = node.post_with_key("/api/messages/email", "a-key", &email).await;
        assert_eq!(refused.expect_problem(500), "no_provider");
    }
    for table in ["messages", "conversations", "outbox", "idempotency_keys"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    assert_eq!(node.metric("trunkline_invalid_routing_total").await, SENDS as f64);
    let errors = node.log_lines("ERROR");
    assert_eq!(errors.len(), SENDS, "{errors:?}");
    assert!(errors.iter().all(|line| line["channel"] == "email"), "{errors:?}");

    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &sms).await.expect(202);
    world.until_all_final(SOON).await;
    assert_eq!(
        world
            .count("messages_with_status where status = 'dispatched'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_names_the_providers_and_the_routes_to_them() {
    let world = World::new(Kind::Sqlite);
    world.write_file(
        "trunkline.toml",
        "[[provider]]\nname = 'primary'\nkind = 'simulator'\nchannels = ['sms']\nconcurrency = 2\n\
         faults = { seed = 7 }\n\
         [[provider]]\nname = 'backup'\nkind = 'simulator'\nchannels = ['sms', 'email']\n\
         [[route]]\nchannel = 'sms'\nfrom = '+1*'\nproviders = ['primary', 'backup']\n\
         [[route]]\nchannel = 'sms'\nfrom = '+44*'\nproviders = ['backup']\n",
    );
    let node = world.start_node().await;
    let text = |from: &str| json!({"from": from, "to": "+18045551234", "type": "sms", "body": "Hello"});
    let email =
        json!({"from": "desk@example.org", "to": "guest@example.com", "subject": "Hi", "body": "Hello"});
    for (path, body, provider) in [
        ("/api/messages/sms", text("+12016661234"), "primary"),
        ("/api/messages/sms", text("+442071838750"), "backup"),
        ("/api/messages/email", email, "backup"),
    ] {
        let sent = node.post(path, &body).await.expect(202);
        let id = sent["id"].as_str().unwrap();
        let message = node.get(&format!("/api/messages/{id}")).await.expect(200);
        assert_eq!(message["provider"], provider, "{body}");
    }
    let unrouted = node.post("/api/messages/sms", &text("+4930901820")).await;
    assert_eq!(unrouted.expect_problem(500), "no_provider");
    world.until_all_final(SOON).await;
    let config = node.get("/api/provider/mock/config").await.expect(200);
    assert_eq!(config["effective"]["primary"]["seed"], 7);
    assert_eq!(config["effective"]["backup"]["seed"], json!(null));
}
