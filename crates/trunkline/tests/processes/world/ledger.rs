use std::{collections::BTreeMap, fs, io, path::Path};

use serde_json::Value;

use super::{client::text, contents::Id};

/// A call, as the simulated provider recorded it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) message: Id,
    pub(crate) attempt_number: u64,
    pub(crate) outcome: String,
    /// Whether the provider took the message.
    pub(crate) taken: bool,
}

impl Call {
    /// Whether the provider may have taken the message, as far as a caller can know.
    pub(crate) fn may_have_sent(&self) -> bool {
        matches!(self.outcome.as_str(), "success" | "timeout")
    }
}

/// All calls to all providers of all nodes; none before a node creates the file.
pub(crate) fn read(path: &Path) -> Vec<Call> {
    let lines = match fs::read_to_string(path) {
        Ok(lines) => lines,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("the ledger: {error}"),
    };
    let call = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Call {
            message: Id::of(&text(&line["message_id"])),
            attempt_number: line["attempt_number"].as_u64().unwrap(),
            outcome: text(&line["outcome"]),
            taken: line["taken"].as_bool().unwrap(),
        }
    };
    lines.lines().map(call).collect()
}

/// How often each message may have been sent.
pub(crate) fn times_seen(calls: &[Call]) -> BTreeMap<&Id, usize> {
    let mut seen = BTreeMap::new();
    for call in calls.iter().filter(|call| call.may_have_sent()) {
        *seen.entry(&call.message).or_default() += 1;
    }
    seen
}
