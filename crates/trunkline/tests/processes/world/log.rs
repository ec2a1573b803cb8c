use std::{fs, path::PathBuf};

use serde_json::Value;

/// Lines that are shown when a test fails.
const LINES_SHOWN: usize = 40;

/// The standard error of a node, readable after its end.
#[derive(Debug, Clone)]
pub(crate) struct Log(PathBuf);

impl Log {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// The lines at this level, which are JSON because no terminal reads them.
    pub(crate) fn lines(&self, level: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["level"] == level).collect()
    }

    pub(super) fn tail(&self) -> String {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.0
    }
}
