//! Runs the commands in README.md and docs/ as they are written.
//!
//! All `sh` blocks of a document are one script, run by `sh` in an empty directory. The programs it finds are those in
//! `bin` beside this file and the few named in [`TOOLS`]: any other command is not found and
//! fails. CONTRIBUTING.md says how to write one. The programs in docs/testing.md run too.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod blocks;
mod image;
mod links;
mod operations;
mod programs;
mod script;
mod settings;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use blocks::blocks;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Programs that documents may use besides curl and trunkline.
const TOOLS: [&str; 14] = [
    "sh", "cat", "cut", "date", "grep", "head", "ls", "mkdir", "mkfifo", "rm", "sed", "sleep", "tail", "wc",
];

#[tokio::test]
async fn the_commands_in_the_documents_work() {
    let mut failures = Vec::new();
    for path in &documents() {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        let blocks = blocks(&name, &fs::read_to_string(path).unwrap());
        // Directly to standard error: the test harness would hide what was run.
        for block in &blocks {
            let commands = block.text.lines().filter(|line| !line.trim().is_empty()).count();
            writeln!(io::stderr(), "{}: {commands} lines", block.place).unwrap();
        }
        if let Err(output) = script::run(&blocks).await {
            failures.push(format!("{name} does not work as it is written:\n{output}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// README.md and everything in docs/.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![Path::new(ROOT).join("README.md")];
    files_below(&Path::new(ROOT).join("docs"), "md", &mut documents);
    assert!(documents.len() > 1, "where are the documents?");
    documents
}

/// Adds all files with this extension, in the order of their names.
fn files_below(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}
