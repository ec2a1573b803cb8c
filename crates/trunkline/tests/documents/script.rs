//! Carries out the commands of one document.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{TOOLS, blocks::Block};

/// How long one document may take: much longer than any does.
pub(crate) const DOCUMENT_MAX: Duration = Duration::from_secs(120);
/// Lines of what a document that fails has written.
const LINES_SHOWN: usize = 30;
/// Where documents expect the service.
const DOCUMENTED: [&str; 2] = ["127.0.0.1:8080", "localhost:8080"];
const SHIMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/bin");

/// Runs all blocks in one shell, in an empty directory.
///
/// A document that never starts the service finds one running.
///
/// # Errors
/// When a command fails, with the last lines the script wrote.
pub(crate) async fn run(blocks: &[Block]) -> Result<(), String> {
    if blocks.is_empty() {
        return Ok(());
    }
    let place = TempDir::new().unwrap();
    let [home, state, tools] = ["home", "state", "tools"].map(|name| place.path().join(name));
    for directory in [&home, &state, &tools] {
        fs::create_dir(directory).unwrap();
    }
    for tool in TOOLS {
        symlink(on_path(tool), tools.join(tool)).unwrap();
    }
    let output = state.join("output");
    let file = fs::File::create(&output).unwrap();
    let address = free_address();
    let mut shell = Command::new(tools.join("sh"))
        .args(["-c", &script(blocks, &address)])
        .env_clear()
        .env("PATH", format!("{SHIMS}:{}", tools.display()))
        .env("HOME", &home)
        .env("STATE", &state)
        .env("CURL", on_path("curl"))
        .env("TRUNKLINE", env!("CARGO_BIN_EXE_trunkline"))
        .env("API_BIND", &address)
        .env("TRUNKLINE_URL", format!("http://{address}"))
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        // With the service that it leaves in the background.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = shell.id().unwrap();
    let ended = tokio::time::timeout(DOCUMENT_MAX, shell.wait()).await;
    let killed = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .output()
        .await;
    drop(killed.unwrap());
    let output = fs::read_to_string(output).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    match ended {
        Ok(status) if status.as_ref().unwrap().success() => Ok(()),
        Ok(_) => Err(tail),
        Err(_) => Err(format!("{tail}\nstill running after {DOCUMENT_MAX:?}")),
    }
}

/// The script of a document: its blocks, where they stand, and what they say about answers as a command.
fn script(blocks: &[Block], address: &str) -> String {
    let mut script = "set -eu\n".to_owned();
    let starts =
        |line: &str| line.trim_start().starts_with("cargo run") || line.trim_start().starts_with("trunkline");
    if !blocks.iter().any(|block| block.text.lines().any(starts)) {
        script.push_str("trunkline\n");
    }
    for Block { place, text } in blocks {
        script.push_str(&format!("echo '--- {place}' >&2\n"));
        for line in text.lines() {
            match said_answer(line) {
                Some((command, status)) => script.push_str(&format!("{command}\nanswered {status}\n")),
                None => script.push_str(&format!("{line}\n")),
            }
        }
        script.push_str("explained\n");
    }
    DOCUMENTED
        .iter()
        .fold(script, |script, documented| script.replace(documented, address))
}

/// A line that ends in `# answers 409` or is a comment like `# 202 {…}`: what stands before it, and the status.
fn said_answer(line: &str) -> Option<(&str, &str)> {
    let (command, comment) = line.rsplit_once("# ")?;
    let (status, sure) = match comment.strip_prefix("answers ") {
        Some(rest) => (rest, true),
        None => (comment, command.trim().is_empty()),
    };
    let status = status.split([' ', ',']).next()?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    (sure && is_status).then_some((command, status))
}

pub(crate) fn on_path(tool: &str) -> PathBuf {
    env::split_paths(&env::var_os("PATH").unwrap())
        .map(|directory| directory.join(tool))
        .find(|path| is_file(path))
        .unwrap_or_else(|| panic!("these tests need {tool}: install it with your package manager"))
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// A free address: the documents' own may be taken on this machine.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[test]
fn what_documents_say_about_answers_is_found() {
    for (line, expected) in [
        ("# 202 {\"status\":\"accepted\"}", Some(("", "202"))),
        ("# 202, the same conversation", Some(("", "202"))),
        ("curl $api/x # answers 409", Some(("curl $api/x ", "409"))),
        ("# both messages, oldest first", None),
        ("curl $api/healthz      # alive; never touches the database", None),
        ("curl $api/x -d '# 404 is no comment'", None),
        ("cargo run      # 100 percent", None),
    ] {
        assert_eq!(said_answer(line), expected, "{line}");
    }
}

fn failing(text: &str) -> Vec<Block> {
    let place = "d.md:1".to_owned();
    vec![Block {
        place,
        text: text.to_owned(),
    }]
}

/// The test that carries out documents can fail: for each way in which one can be wrong.
#[tokio::test]
async fn a_document_with_a_failing_command_is_reported() {
    for (text, told) in [
        ("no-such-program\n", "no-such-program"),
        ("psql\n", "psql"),
        ("cargo build\n", "cargo build"),
        ("cargo run -- no-such-command\n", "no-such-command"),
        ("curl -s 127.0.0.1:8080/nowhere\n", "answered 404: curl"),
        (
            "curl -s --fail 127.0.0.1:8080/nowhere | cat\ncurl -s 127.0.0.1:8080/healthz\n",
            "answered 404: curl",
        ),
        (
            "curl -s 127.0.0.1:8080/healthz\n# 202, they say\n",
            "says 202, the answer was 200",
        ),
        ("cargo run\ncargo run\n", "runs already"),
        ("cargo run -- --bind nonsense\n", "--bind"),
    ] {
        let output = run(&failing(text)).await.unwrap_err();
        assert!(output.contains(told), "{text}: {output}");
    }
    let fine = "curl -s --fail localhost:8080/nowhere # answers 404\ncurl -s localhost:8080/nowhere\n# 404\n";
    assert_eq!(run(&failing(fine)).await, Ok(()));
}
