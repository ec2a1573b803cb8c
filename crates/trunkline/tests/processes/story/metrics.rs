use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use hyper::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::world::{Kind, SOON, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_accepts_the_metrics_in_both_formats() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let page = async |accept: &str| {
        let headers = [("accept", accept)];
        let answer = node.ask(Method::GET, "/metrics", &headers, None).await;
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let at_start = page("text/plain").await;
    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &sms).await.expect(202);
    world.until_all_final(SOON).await;
    for text in [at_start, page("text/plain").await] {
        let checked = promtool(&["check", "metrics"], &text).await;
        let complaints = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(
            checked.status.success() && complaints.is_empty(),
            "{complaints}\n{text}"
        );
    }

    // `check metrics` does not read OpenMetrics. The importer of blocks does, strictly, and wants each sample's time.
    let openmetrics = page("application/openmetrics-text").await;
    let dated: String = openmetrics
        .lines()
        .map(|line| match line.starts_with('#') {
            true => format!("{line}\n"),
            false => format!("{line} 1700000000\n"),
        })
        .collect();
    let [file, blocks] = ["openmetrics.txt", "blocks"].map(|name| world.directory().join(name));
    fs::write(&file, dated).unwrap();
    let mut import = vec!["tsdb", "create-blocks-from", "openmetrics"];
    import.extend([file.to_str().unwrap(), blocks.to_str().unwrap()]);
    let imported = promtool(&import, "").await;
    let complaints = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "{complaints}\n{openmetrics}");
}

#[tokio::test]
async fn promtool_accepts_the_documented_alerts() {
    let guide = operations_guide();
    let (_, rest) = guide.split_once("```yaml\n").unwrap();
    let (rules, _) = rest.split_once("```").unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.yml");
    fs::write(&file, rules).unwrap();
    let checked = promtool(&["check", "rules", file.to_str().unwrap()], "").await;
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_guide_explains_exactly_the_metrics_of_a_node() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    // The series of an endpoint are there once the node delivers to it.
    let endpoint = json!({"url": "http://127.0.0.1:9/hook"});
    node.post("/api/webhook-endpoints", &endpoint).await.expect(201);
    let page = until("the endpoint has its series", SOON, async || {
        let page = node.get("/metrics").await.body;
        let there = String::from_utf8_lossy(&page).contains("trunkline_webhook_lag_seconds{");
        there.then_some(page)
    })
    .await;
    let page = std::str::from_utf8(&page).unwrap();
    let exported: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE trunkline_")?.split(' ').next())
        .collect();
    let guide = operations_guide();
    let explained: BTreeSet<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `trunkline_")?.split(['`', '{']).next())
        .collect();
    assert_eq!(
        explained, exported,
        "docs/operations.md has other metrics than a node"
    );
    // Alerts and runbooks too. `trunkline_server` is a crate, in `API_LOG`.
    let named = guide.split("trunkline_").skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_lowercase() && character != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    for name in named.filter(|name| *name != "server") {
        let name = name.trim_end_matches("_bucket");
        assert!(
            exported.contains(name),
            "docs/operations.md names trunkline_{name}, which a node does not have"
        );
    }
}

fn operations_guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    fs::read_to_string(path).unwrap()
}

/// Runs the program that `bin/test` installs. It is never silently missing.
async fn promtool(arguments: &[&str], input: &str) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let given = std::env::var_os("TRUNKLINE_PROMTOOL").map(PathBuf::from);
    let program = given.unwrap_or_else(|| target.join("test-tools/promtool/promtool"));
    let started = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut process = started.unwrap_or_else(|error| {
        panic!(
            "this test needs promtool, and {} does not start: {error}. Run bin/install-test-tools, or set TRUNKLINE_PROMTOOL to the program",
            program.display()
        )
    });
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    tokio::time::timeout(SOON, process.wait_with_output())
        .await
        .expect("promtool ends by itself")
        .unwrap()
}
