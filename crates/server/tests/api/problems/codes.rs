use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

/// Every code there is: the description is made from the table that problems are made from.
pub fn codes() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(trunkline_server::openapi()).unwrap();
    let words = &document["components"]["schemas"]["ProblemCode"]["enum"];
    let words = words.as_array().unwrap().iter();
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_code_is_tested_somewhere() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let mut tests = String::new();
    let mut folders = vec![here];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                tests += &fs::read_to_string(path).unwrap().replace('\\', "");
            }
        }
    }
    for code in codes() {
        assert!(tests.contains(&format!("\"{code}\"")), "no test expects {code}");
    }
}

#[test]
fn the_guide_lists_exactly_the_codes_there_are() {
    let guide = include_str!("../../../../../docs/api.md");
    let (_, table) = guide.split_once("| code | status |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let listed = table.lines().filter_map(|line| {
        let cell = line.strip_prefix("| `")?;
        Some(cell.split_once('`')?.0.to_owned())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), codes());
}
