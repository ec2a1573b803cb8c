//! The programs that `bin/install-test-tools` installs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tokio::process::Command;

/// Much more than any of them takes: some ten seconds of work.
const RUN_MAX: Duration = Duration::from_secs(240);

/// What was installed from `crates/trunkline/tests/requirements.txt`.
pub fn python(program: &str) -> PathBuf {
    let list = include_str!("../requirements.txt");
    installed("python/installed.txt", list).join("bin").join(program)
}

/// What was installed from `crates/trunkline/tests/clients/typescript/package-lock.json`.
pub fn node_modules() -> PathBuf {
    let list = include_str!("../clients/typescript/package-lock.json");
    installed("typescript/installed.json", list).join("node_modules")
}

/// The folder of a list, which must be the one that was installed: another version would test something else.
fn installed(list: &str, committed: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let list = target.join("test-tools").join(list);
    let installed = fs::read_to_string(&list);
    assert!(
        installed.is_ok_and(|installed| installed == committed),
        "{} is not what this test needs: run bin/install-test-tools",
        list.display()
    );
    list.parent().unwrap().to_owned()
}

/// A file or folder of `crates/trunkline/tests`.
pub fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// Runs a program to its end. Returns what it printed, and whether it succeeded.
pub async fn run(command: &mut Command) -> (bool, String) {
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_MAX, output).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output
        .expect("the program ends in time")
        .expect("the program starts");
    let printed = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (status.success(), printed.concat())
}
