//! Clients that generators make of `openapi.json` work against a node.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use tokio::process::Command;

use crate::{
    node::{KEY, Node},
    tools::{node_modules, python, run, tests},
};

#[tokio::test]
async fn a_generated_python_client_sends_receives_reads_and_redrives() {
    let folder = tempfile::tempdir().unwrap();
    let client = folder.path().join("trunkline_client");
    let mut generate = Command::new(python("openapi-python-client"));
    generate
        .args(["generate", "--meta", "none", "--path"])
        .arg(description());
    generate.arg("--output-path").arg(&client);
    // It formats what it made with a program of its own folder.
    generate.env("PATH", python(""));
    let report = done(&mut generate).await;
    // It warns of every operation, answer and schema that it leaves out.
    assert!(!report.to_lowercase().contains("warning"), "{report}");
    let node = Node::start(folder.path()).await;
    let mut user = Command::new(python("python3"));
    user.arg(tests("clients/use.py")).args([&node.url, KEY]);
    user.env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    done(&mut user).await;
}

#[tokio::test]
async fn a_generated_typescript_client_sends_receives_reads_and_redrives() {
    let folder = tempfile::tempdir().unwrap();
    let modules = node_modules();
    symlink(&modules, folder.path().join("node_modules")).unwrap();
    fs::copy(tests("clients/typescript/use.ts"), folder.path().join("use.ts")).unwrap();
    fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
    let node_program = |script: PathBuf| {
        let mut command = Command::new("node");
        command.arg(script).current_dir(folder.path());
        command
    };
    let mut generate = node_program(modules.join("openapi-typescript/bin/cli.js"));
    done(generate.arg(description()).args(["--output", "trunkline.d.ts"])).await;
    let mut compile = node_program(modules.join("typescript/bin/tsc"));
    let options = [
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "nodenext",
    ];
    done(compile.args(options).arg("use.ts")).await;
    let node = Node::start(folder.path()).await;
    done(node_program(folder.path().join("use.js")).args([&node.url, KEY])).await;
}

fn description() -> PathBuf {
    tests("../../../openapi.json")
}

async fn done(command: &mut Command) -> String {
    let (succeeded, report) = run(command).await;
    assert!(succeeded, "{report}");
    report
}
