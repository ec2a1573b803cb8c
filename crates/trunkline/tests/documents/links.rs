//! Links between documents, and from them into the code, lead somewhere.

use std::{fs, path::Path};

use crate::documents;

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut files = documents();
    files.extend(["ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| Path::new(crate::ROOT).join(name)));
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (target, _) in targets.filter(|(target, _)| !target.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let target_path = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(target_path.exists(), "{}: there is no {file}", path.display());
            if !heading.is_empty() {
                let document = fs::read_to_string(&target_path).unwrap();
                let found = document
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(found, "{}: there is no heading for #{heading}", path.display());
            }
        }
    }
}

/// The name under which a heading is linked to.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character })
        .collect()
}
