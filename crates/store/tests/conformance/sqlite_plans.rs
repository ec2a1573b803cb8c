//! How SQLite finds rows: every statement, planned for a database without statistics, as the program has it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::sqlite_file::OneFile;

/// Tables that grow with the messages.
const LARGE: [&str; 9] = [
    "messages",
    "outbox",
    "attempts",
    "conversations",
    "idempotency_keys",
    "inbound_ids",
    "receipts",
    "event_batches",
    "webhook_deliveries",
];

/// Statements that read a table from one end: they stop after a few rows, or run once when the file is opened.
const FROM_ONE_END: [&str; 6] = [
    "conversations/count.sqlite.sql",
    "event_batches/oldest.sqlite.sql",
    "event_log/ends.sqlite.sql",
    "outbox/dead.sqlite.sql",
    "outbox/expire_leases.sqlite.sql",
    "receipts/count.sqlite.sql",
];

/// Statements that sort a few rows.
const SORTED: [&str; 8] = [
    "conversations/list.sqlite.sql",
    "conversations/list_of_participant.sqlite.sql",
    "outbox/expired.sqlite.sql",
    "outbox/providers.sqlite.sql",
    "providers/announce.sqlite.sql",
    "receipts/matching.sqlite.sql",
    "receipts/unmatched_of.sqlite.sql",
    "webhook_endpoints",
];

#[tokio::test]
async fn no_statement_reads_or_sorts_a_large_table() {
    let file = OneFile::new();
    drop(file.migrated().await);
    let connection = Connection::open(file.directory.path().join("trunkline.db")).unwrap();
    let statements = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut planned = 0;
    for table in paths(&statements) {
        for path in paths(&table) {
            let name = path
                .strip_prefix(&statements)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if name.ends_with(".postgres.sql") {
                continue;
            }
            let listed = |names: &[&str]| names.iter().any(|known| name.starts_with(known));
            for step in plan(&connection, &std::fs::read_to_string(&path).unwrap()) {
                let whole = LARGE.iter().any(|table| step == format!("SCAN {table}"));
                assert!(!whole || listed(&FROM_ONE_END), "{name}: {step}");
                assert!(!step.contains("TEMP B-TREE") || listed(&SORTED), "{name}: {step}");
            }
            planned += 1;
        }
    }
    assert!(planned > 100, "{planned} statements");
}

fn paths(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("explain query plan {sql}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get("detail"));
    steps.collect::<Result<_, _>>().unwrap()
}
