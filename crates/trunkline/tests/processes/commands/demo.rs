use serde_json::{Value, json};

use super::{failed, printed, told};
use crate::world::{Kind, Node, SOON, World, until};

const CONFIG: &str = "/api/provider/mock/config";

async fn demo(world: &World, node: &Node, arguments: &[&str]) -> Value {
    let arguments = [&["demo", "--url", &node.url, "--json"][..], arguments].concat();
    printed(&world.run(&arguments).await)
}

/// The store has the accepted messages and no others.
async fn check_counts(world: &World, summary: &Value) {
    let [sent, received] = ["sent", "received"].map(|field| summary[field].as_u64().unwrap() as usize);
    assert_eq!(summary["unanswered"], 0, "{summary}");
    assert_eq!(
        world.count("messages where direction = 'outbound'").await,
        sent,
        "{summary}"
    );
    assert_eq!(
        world.count("messages where direction = 'inbound'").await,
        received,
        "{summary}"
    );
    assert_eq!(
        world.count("conversations").await as u64,
        summary["conversations"],
        "{summary}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_on_all_channels() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let before = json!({"timeout_pct": 0, "error_pct": 3, "ratelimit_pct": 0, "seed": 5,
                        "providers": {"email": {"error_pct": 0}}});
    node.ask(hyper::Method::PUT, CONFIG, &[], Some(&before))
        .await
        .expect(200);
    let before = node.get(CONFIG).await.expect(200);
    let summary = demo(&world, &node, &["--seconds", "4", "--rate", "50", "--seed", "7"]).await;
    assert_eq!(summary["seed"], 7);
    assert_eq!(summary["refused"], json!({}), "{summary}");
    check_counts(&world, &summary).await;
    for channel in ["sms", "mms", "email"] {
        for direction in ["inbound", "outbound"] {
            let condition = format!("messages where channel = '{channel}' and direction = '{direction}'");
            assert!(world.count(&condition).await > 0, "{condition}");
        }
    }
    let failures: u64 = summary["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| provider["error"].as_u64().unwrap() + provider["timeout"].as_u64().unwrap())
        .sum();
    assert!(failures > 0, "no call failed on purpose: {summary}");
    assert_eq!(node.get(CONFIG).await.expect(200), before);

    // Another demo with the same seed continues the same conversations; none of its messages counts as a repeat.
    let messages = world.count("messages").await;
    let again = demo(&world, &node, &["--seconds", "1", "--rate", "50", "--seed", "7"]).await;
    assert!(again["sent"].as_u64() > Some(0), "{again}");
    let played = again["sent"].as_u64().unwrap() + again["received"].as_u64().unwrap();
    assert_eq!(
        world.count("messages").await - messages,
        played as usize,
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_restores_the_providers() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let before = node.get(CONFIG).await.expect(200);
    let running = world.start(&["demo", "--url", &node.url, "--seconds", "20", "--rate", "20"]);
    until("providers fail on purpose", SOON, async || {
        (node.get(CONFIG).await.expect(200)["error_pct"] != 0).then_some(())
    })
    .await;
    running.interrupt().await;
    let output = running.output().await;
    assert!(output.status.success(), "{}", told(&output));
    assert!(
        told(&output).contains("trunkline conversations"),
        "{}",
        told(&output)
    );
    assert_eq!(node.get(CONFIG).await.expect(200), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_respected() {
    let world = World::new(Kind::Sqlite)
        .set("API_RATE_LIMIT_PER_SENDER_PER_MIN", 2)
        .set("API_RATE_LIMIT_WEBHOOK_PER_IP_PER_MIN", 5);
    let node = world.start_node().await;
    let summary = demo(&world, &node, &["--seconds", "3", "--rate", "100"]).await;
    check_counts(&world, &summary).await;
    let [limited, held_back] = ["rate_limited", "held_back"].map(|field| summary[field].as_u64().unwrap());
    assert!(limited > 0 && held_back > limited, "{summary}");
    // After the first 429 only the requests under way are still sent.
    assert!(limited < 40, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_provider_it_says_what_to_configure() {
    let world = World::new(Kind::Sqlite)
        .set("API_PROVIDER_SMS_ENABLED", false)
        .set("API_PROVIDER_EMAIL_ENABLED", false);
    let node = world.start_node().await;
    let message = failed(&world.run(&["demo", "--url", &node.url]).await);
    assert!(message.contains("API_PROVIDER_SMS_ENABLED=true"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_service_it_says_how_to_start_one() {
    let world = World::new(Kind::Sqlite);
    let message = failed(&world.run(&["demo", "--url", "http://127.0.0.1:9"]).await);
    assert!(message.contains("Start a service with `trunkline`"), "{message}");
    let world = world.set("API_KEYS", "first-secret-key");
    let node = world.start_node().await;
    let message = failed(&world.run(&["demo", "--url", &node.url]).await);
    assert!(
        message.contains("401") && message.contains("--api-key"),
        "{message}"
    );
    let world = world.set("TRUNKLINE_API_KEY", "first-secret-key");
    demo(&world, &node, &["--seconds", "1"]).await;
}
