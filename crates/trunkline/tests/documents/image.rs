//! What can be tried of the Dockerfile without a container engine: its health check, as it stands there.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A node, and the port it listens at.
fn node(directory: &TempDir) -> (Child, String) {
    let mut node = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .env_clear()
        .env("API_BIND", "127.0.0.1:0")
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    BufReader::new(node.stdout.take().unwrap())
        .read_line(&mut greeting)
        .unwrap();
    let (_, rest) = greeting.split_once("127.0.0.1:").unwrap();
    let port = rest.split_once(' ').unwrap().0.to_owned();
    (node, port)
}

/// The command of the Dockerfile's health check, for a node at this port.
fn health_check(port: &str) -> Command {
    let dockerfile = fs::read_to_string(Path::new(crate::ROOT).join("Dockerfile")).unwrap();
    let (_, check) = dockerfile.split_once("HEALTHCHECK").unwrap();
    let (_, command) = check.split_once("CMD ").unwrap();
    let words: Vec<String> = serde_json::from_str(command.lines().next().unwrap()).unwrap();
    assert!(words.iter().any(|word| word.contains("/8080 ")), "{words:?}");
    let mut command = Command::new(&words[0]);
    command
        .args(
            words[1..]
                .iter()
                .map(|word| word.replace("/8080 ", &format!("/{port} "))),
        )
        .stderr(Stdio::null());
    command
}

#[test]
fn the_health_check_tells_whether_it_lives() {
    let directory = TempDir::new().unwrap();
    let (mut node, port) = node(&directory);
    let alive = health_check(&port).status().unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    assert!(alive.success(), "{alive}");
    assert!(!health_check(&port).status().unwrap().success());
}
