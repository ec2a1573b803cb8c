//! The description of the API and the program it describes: the committed file is the one the program prints, schemathesis,
//! which generates requests from it, finds no answer of a running node that it does not describe, generated clients work, and so
//! do the receivers in docs/webhooks.md.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod clients;
mod node;
mod receivers;
mod tools;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    node::{KEY, Node, program},
    tools::{python, run, tests},
};

/// Requests that are generated for each operation, besides those for every edge of its schema.
const EXAMPLES: &str = "20";
const COMMITTED: &str = include_str!("../../../../openapi.json");

#[tokio::test]
async fn the_committed_description_is_the_one_that_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let printed = program(folder.path()).arg("openapi").output().await.unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed == COMMITTED,
        "openapi.json is out of date: cargo run -- openapi > openapi.json"
    );
    assert!(
        printed.ends_with("}\n") && !printed.contains("127.0.0.1") && !printed.contains("://localhost"),
        "it must not contain the address of a node"
    );
    let node = Node::start(folder.path()).await;
    assert_eq!(node.get("/openapi.json").await, printed);
}

/// The route that is left out.
const STREAM: &str = "/api/events/stream";

#[tokio::test]
async fn a_node_answers_as_the_description_says() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path()).await;
    let messages = trouble(&node).await.join(" ");
    let endpoint = an_endpoint(&node).await;
    let seed = std::env::var("PROPTEST_RNG_SEED").expect("cargo sets it: .cargo/config.toml");
    let ask = async |which: &[&str]| {
        let mut schemathesis = Command::new(python("schemathesis"));
        schemathesis
            .arg("--config-file")
            .arg(tests("openapi/schemathesis.toml"));
        // From the file: it leaves out the route it got the description from.
        schemathesis.arg("run").arg(tests("../../../openapi.json"));
        schemathesis.args([
            "--url",
            &node.url,
            "--header",
            &format!("Authorization: Bearer {KEY}"),
        ]);
        schemathesis.args(["--seed", &seed, "--workers", "1", "--continue-on-failure"]);
        // A stream does not end: crates/server/tests/api reads it.
        schemathesis.args(["--exclude-path", STREAM]);
        schemathesis
            .args(["--generation-database", "none", "--no-color"])
            .args(which);
        schemathesis
            .env("SCHEMATHESIS_HOOKS", tests("openapi/hooks.py"))
            .env("MESSAGES", &messages)
            .env("ENDPOINT", &endpoint);
        schemathesis
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder.path());
        let (succeeded, report) = run(&mut schemathesis).await;
        assert!(succeeded, "{report}\n{}", node.log());
        report
    };
    // First what is read, before anything is redriven.
    ask(&[
        "--include-method",
        "GET",
        "--phases",
        "examples",
        "--max-examples",
        "4",
    ])
    .await;
    let report = ask(&["--max-examples", EXAMPLES]).await;
    let tested = format!("Tested: {}\n", operations());
    assert!(report.contains(&tested), "it left out operations: {report}");
    assert!(!node.log().contains("\"level\":\"ERROR\""), "{}", node.log());
}

/// Two messages that have the most to show: one that failed, in conversation 1, and one that waits for an open breaker.
async fn trouble(node: &Node) -> [String; 2] {
    let config = json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0});
    node.ask("PUT", "/api/provider/mock/config", config.to_string())
        .await;
    let send = async || {
        let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello!"});
        let accepted = node.ask("POST", "/api/messages/sms", sms.to_string()).await;
        let accepted: Value = serde_json::from_str(&accepted).unwrap();
        accepted["id"].as_str().unwrap().to_owned()
    };
    let failed = send().await;
    let path = format!("/api/messages/{failed}");
    node.wait_for(&path, "\"status\":\"failed\"").await;
    // The third failure in a row opens the breaker: this one waits with one attempt behind it.
    let held = send().await;
    let path = format!("/api/messages/{held}");
    node.wait_for(&path, "\"reason\":\"breaker_open\"").await;
    [failed, held]
}

/// A webhook endpoint that nothing answers for.
async fn an_endpoint(node: &Node) -> String {
    let endpoint = json!({"url": "http://127.0.0.1:9/hook"});
    let created = node
        .ask("POST", "/api/webhook-endpoints", endpoint.to_string())
        .await;
    let created: Value = serde_json::from_str(&created).unwrap();
    created["id"].as_str().unwrap().to_owned()
}

/// The operations that are asked.
fn operations() -> usize {
    let document: Value = serde_json::from_str(COMMITTED).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let asked = paths.iter().filter(|(path, _)| path.as_str() != STREAM);
    asked.map(|(_, item)| item.as_object().unwrap().len()).sum()
}
