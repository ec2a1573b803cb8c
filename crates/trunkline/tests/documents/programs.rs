//! The Python and the Node program in docs/testing.md run as they stand there, and end the server that they start.

use std::{env, fs, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::script::{DOCUMENT_MAX, on_path};

#[tokio::test]
async fn the_documented_python_program_works() {
    prints_that_a_message_was_dispatched("python", "python3", "testing.py").await;
}

#[tokio::test]
async fn the_documented_node_program_works() {
    prints_that_a_message_was_dispatched("js", "node", "testing.mjs").await;
}

/// The only block of docs/testing.md in this language.
fn documented(language: &str) -> String {
    let guide = fs::read_to_string(Path::new(crate::ROOT).join("docs/testing.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let [_, rest] = guide.split(&fence).collect::<Vec<_>>().try_into().unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

async fn prints_that_a_message_was_dispatched(language: &str, interpreter: &str, file: &str) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(file), documented(language)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_trunkline")).parent().unwrap();
    let found = env::var_os("PATH").unwrap();
    let path = env::join_paths([program.to_owned()].into_iter().chain(env::split_paths(&found))).unwrap();
    let child = Command::new(on_path(interpreter))
        .arg(file)
        .current_dir(folder.path())
        .env("PATH", path)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = child.id().unwrap();
    // Standard error ends with the last process that has it: with the server, if the program does not end it.
    let ended = tokio::time::timeout(DOCUMENT_MAX, child.wait_with_output()).await;
    let killed = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .output()
        .await;
    drop(killed.unwrap());
    let output = ended.expect("the program and its server end").unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert_eq!(stdout, "dispatched\n", "{stderr}");
}
