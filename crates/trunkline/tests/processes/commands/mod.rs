//! Commands beside the service: import, backfill, demo, and those that use a running service.

mod ask;
mod backfill;
mod demo;
mod history;
mod import;
mod listen;
mod ready;
mod settings;
mod test_server;

use std::process::Output;

use serde_json::Value;

/// The JSON that a successful command printed.
fn printed(output: &Output) -> Value {
    assert!(output.status.success(), "{}", told(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", told(output)))
}

/// The error text of a failed command.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", told(output));
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// Everything a command wrote: no escape codes, because it writes to no terminal.
fn told(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream));
    let told = format!("{}\n{stdout}\n{stderr}", output.status);
    assert!(
        !told.contains('\u{1b}'),
        "escape codes outside a terminal: {told:?}"
    );
    told
}
