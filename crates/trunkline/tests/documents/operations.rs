//! docs/operations.md explains every warning and error in the log. `processes/story/metrics.rs` compares its metrics with a
//! node's.

use std::{collections::BTreeSet, fs, path::Path};

use crate::files_below;

fn operations() -> String {
    fs::read_to_string(Path::new(crate::ROOT).join("docs/operations.md")).unwrap()
}

/// The source of all crates, in order.
fn sources() -> Vec<String> {
    let mut files = Vec::new();
    files_below(&Path::new(crate::ROOT).join("crates"), "rs", &mut files);
    let in_src = files
        .iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"));
    in_src.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_warning_is_explained() {
    let operations = operations();
    let mut lines = BTreeSet::new();
    for source in sources() {
        for call in ["tracing::warn!(", "tracing::error!("] {
            for rest in source.split(call).skip(1) {
                // The text stands last, after the fields.
                let end = rest.find(");").unwrap();
                lines.extend(rest[..end].rsplit('"').nth(1).map(str::to_owned));
            }
        }
    }
    assert!(lines.len() >= 20, "only {lines:?}");
    for line in lines {
        assert!(
            operations.contains(&format!("| `{line}` |")),
            "docs/operations.md has no line for \"{line}\": say what an operator should do about it"
        );
    }
}
