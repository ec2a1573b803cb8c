//! Documents, the image and the composition speak of settings that exist.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::documents;

/// What the program itself says its settings are.
fn settings() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["config", "--markdown"])
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let variables = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    variables.map(|(variable, _)| variable.to_owned()).collect()
}

#[test]
fn documents_name_only_settings_that_exist() {
    let settings = settings();
    assert!(settings.contains("DATABASE_URL") && settings.contains("API_BIND"));
    let mut files = documents();
    files.extend(["Dockerfile", "compose.yaml"].map(|name| Path::new(crate::ROOT).join(name)));
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        // The settings of the example in docs/add-a-provider.md are its own.
        let ours = words.filter(|word| word.starts_with("API_") && !word.starts_with("API_ACME_"));
        for variable in ours {
            assert!(
                settings.contains(variable),
                "{}: there is no {variable}",
                path.display()
            );
        }
    }
}
