//! Common clients that keep their connections: a connection never closes after an answer without `Connection: close`.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::world::{Kind, SOON, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_keeps_its_connection_over_refusals() {
    all_answered("node", "keep_alive.js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_keeps_its_connection_over_refusals() {
    all_answered("python3", "keep_alive.py").await;
}

async fn all_answered(program: &str, script: &str) {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/processes/faults/keep_alive")
        .join(script);
    let run = Command::new(program)
        .arg(script)
        .arg(node.authority())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SOON, run).await.expect("it ends");
    let output = output.expect("bin/test installs what is missing");
    let shown = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{shown}");
    println!("{program}: {shown}");
}
