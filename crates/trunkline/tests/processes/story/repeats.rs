use serde_json::{Value, json};

use crate::world::{Kind, SOON, World, on_both_databases, text};

on_both_databases!(fifty_repeats_at_once_store_one_message);

async fn fifty_repeats_at_once_store_one_message(kind: Kind) {
    const REPEATS: usize = 50;
    const KEY: &str = "order-17";
    let world = World::new(kind);
    let node = world.start_node().await;
    let send = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "once"});
    let bodies = vec![send.clone(); REPEATS];
    let answers = node
        .post_at_once("/api/messages/sms", &[("idempotency-key", KEY)], &bodies)
        .await;
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == Some("true"))
        .count();
    assert_eq!(replayed, REPEATS - 1);
    let mut accepted: Vec<Value> = answers.into_iter().map(|answer| answer.expect(202)).collect();
    accepted.dedup();
    let [accepted] = &accepted[..] else {
        panic!("more than one answer: {accepted:?}")
    };
    assert_eq!(world.count("messages").await, 1);
    world.until_all_final(SOON).await;
    node.stop().await;

    let node = world.start_node().await;
    let again = node.post_with_key("/api/messages/sms", KEY, &send).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        again.header("location"),
        Some(&*format!("/api/messages/{}", text(&accepted["id"])))
    );
    assert_eq!(again.expect(202), *accepted);
    let other = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "twice"});
    // All send routes share the keys.
    let other_unified = json!({"channel": "email", "from": "a@example.org", "to": "b@example.org", "body": "once", "subject": "x"});
    for (path, body) in [("/api/messages/sms", other), ("/api/messages", other_unified)] {
        let refused = node.post_with_key(path, KEY, &body).await;
        assert_eq!(refused.expect_problem(422), "idempotency_key_reused");
    }
    assert_eq!((world.count("messages").await, world.ledger().len()), (1, 1));
}
