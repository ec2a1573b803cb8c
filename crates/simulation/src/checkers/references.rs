//! Every reference leads to a row. No foreign key enforces it.

use store_model::Memory;

const RULE: &str = "every reference leads somewhere";

pub(super) fn check(memory: &Memory, problems: &mut Vec<(&'static str, String)>) {
    for (table, id) in memory.dangling_references() {
        problems.push((
            RULE,
            format!("a row of {table} is about {id}, which is not there"),
        ));
    }
}
