//! The description of the API and the program it describes: the committed file is the one the program prints, and
//! schemathesis, which makes requests up from it, finds no answer of a running node that it does not describe.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod node;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::node::{KEY, Node, program};

/// Much more than it takes: some ten seconds of work.
const RUN_MAX: Duration = Duration::from_secs(240);
/// Requests that are made up for each operation, besides those for every edge of its schema.
const EXAMPLES: &str = "20";
const REQUIREMENTS: &str = include_str!("requirements.txt");
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
        printed.ends_with("}\n") && !printed.contains("127.0.0.1") && !printed.contains("localhost"),
        "it must not say where a node listens"
    );
    let node = Node::start(folder.path()).await;
    assert_eq!(node.get("/openapi.json").await, printed);
}

#[tokio::test]
async fn a_node_answers_as_the_description_says() {
    let schemathesis = schemathesis().await;
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path()).await;
    let messages = trouble(&node).await.join(" ");
    let seed = std::env::var("PROPTEST_RNG_SEED").expect("cargo sets it: .cargo/config.toml");
    let ask = async |which: &[&str]| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi");
        let run = Command::new(&schemathesis)
            .arg("--config-file")
            .arg(here.join("schemathesis.toml"))
            // From the file: it leaves out the route it got the description from.
            .arg("run")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json"))
            .args(["--url", &node.url])
            .args(["--header", &format!("Authorization: Bearer {KEY}")])
            .args([
                "--seed",
                &seed,
                "--workers",
                "1",
                "--checks",
                "all",
                "--continue-on-failure",
            ])
            .args(["--generation-database", "none", "--no-color"])
            .args(which)
            .env("SCHEMATHESIS_HOOKS", here.join("hooks.py"))
            .env("MESSAGES", &messages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder.path())
            .kill_on_drop(true)
            .output();
        let run = tokio::time::timeout(RUN_MAX, run)
            .await
            .expect("it ends")
            .unwrap();
        let report = format!(
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
        assert!(run.status.success(), "{report}\n{}", node.log());
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
    // It must have asked for everything there is.
    let tested = format!("Tested: {}\n", operations());
    assert!(report.contains(&tested), "{report}");
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

fn operations() -> usize {
    let document: Value = serde_json::from_str(COMMITTED).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths.values().map(|item| item.as_object().unwrap().len()).sum()
}

/// The program, which `bin/test` installs. Never silently another version, and never silently none.
async fn schemathesis() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let installed = target.join("schemathesis/bin/schemathesis");
    let given = std::env::var_os("TRUNKLINE_SCHEMATHESIS").map(PathBuf::from);
    let path = given.unwrap_or(installed);
    let version = Command::new(&path).arg("--version").output().await;
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let wanted = REQUIREMENTS
        .lines()
        .find_map(|line| line.strip_prefix("schemathesis=="))
        .unwrap();
    assert!(
        version
            .as_ref()
            .is_ok_and(|version| version.trim_end().ends_with(wanted)),
        "this test needs schemathesis {wanted}, and {} is {version:?}: run bin/install-schemathesis, or set \
         TRUNKLINE_SCHEMATHESIS to the program",
        path.display()
    );
    path
}
