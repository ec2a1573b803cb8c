use serde_json::json;

use crate::world::{Kind, SOON, World, on_both_databases};

on_both_databases!(a_channel_without_a_provider_is_refused_and_told);

async fn a_channel_without_a_provider_is_refused_and_told(kind: Kind) {
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
