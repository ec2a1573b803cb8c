//! docs/operations.md leaves nothing out: every metric and every log line that asks for attention is explained there, and
//! it explains none that are not.

use std::{collections::BTreeSet, fs, path::Path};

use crate::files_below;

const PREFIX: &str = "trunkline_";

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

/// The names of metrics, but for what the text format adds to counters and histograms.
fn registered() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources() {
        for (call, unit) in [
            ("registry.register(", ""),
            ("registry.register_with_unit(", "_seconds"),
        ] {
            for rest in source.split(call).skip(1) {
                let name = rest.split('"').nth(1).unwrap();
                names.insert(format!("{name}{unit}"));
            }
        }
    }
    names
}

#[test]
fn every_metric_is_explained() {
    let (operations, registered) = (operations(), registered());
    assert!(registered.len() >= 20, "only {registered:?}");
    for name in &registered {
        let row = |end| operations.contains(&format!("\n| `{PREFIX}{name}{end}"));
        assert!(
            row("`") || row("{") || row("_total"),
            "docs/operations.md has no line for {PREFIX}{name}: say what it means, what is normal, and what to do"
        );
    }
    let explained = operations.split(PREFIX).skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_lowercase() && character != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    // The prefix by itself, and the crate in `API_LOG`.
    for name in explained.filter(|name| !matches!(*name, "" | "server")) {
        let bare = name.trim_end_matches("_bucket").trim_end_matches("_total");
        assert!(
            registered.contains(bare),
            "docs/operations.md explains {PREFIX}{name}, which there is not"
        );
    }
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
