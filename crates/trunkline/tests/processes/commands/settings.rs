//! Commands beside the service use exactly the settings that their help shows.

use std::collections::BTreeSet;

use serde_json::json;

use super::{printed, told};
use crate::world::{Kind, World};

/// The commands, and the settings that each of them uses. The region changes how a number is read, not whether it is valid: an
/// import stores the same with any.
const SHOWN: [(&str, &[&str]); 3] = [
    ("migrate", &["--config", "--database-url"]),
    ("import", &["--config", "--database-url", "--default-region"]),
    ("backfill", &["--config", "--database-url", "--default-region"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_help_shows_what_the_tests_below_try() {
    let world = World::new(Kind::Sqlite);
    for (command, shown) in SHOWN {
        let help = world.run(&[command, "--help"]).await;
        assert!(help.status.success(), "{}", told(&help));
        let help = String::from_utf8(help.stdout).unwrap();
        let (_, settings) = help.split_once("Settings (also").unwrap();
        let flags: BTreeSet<&str> = settings
            .lines()
            .filter_map(|line| line.trim_start().split_once(" <").map(|(flag, _)| flag))
            .filter(|flag| flag.starts_with("--"))
            .collect();
        assert_eq!(flags, shown.iter().copied().collect(), "{command}:\n{help}");
    }
}

fn line(from: &str) -> String {
    let line = json!({
        "direction": "outbound", "channel": "mms", "from": from, "to": "+18045551234", "body": "past",
        "attachments": ["https://example.com/a.png"], "provider_message_id": "a",
    });
    format!("{line}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_reads_national_numbers_in_the_region() {
    let world = World::new(Kind::Sqlite);
    world.write_file("past.jsonl", &line("(201) 666-1234"));
    printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    let backfill = ["backfill", "--default-region", "US", "--json"];
    let backfilled = printed(&world.run(&backfill).await);
    assert_eq!(backfilled["assigned"], 1);
    let conversations = world.conversations().await;
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0].parties, ["sms", "+12016661234", "+18045551234"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_on_the_database_it_is_given() {
    let world = World::new(Kind::Sqlite);
    world.write_file("past.jsonl", &line("+12016661234"));
    let elsewhere = ["--database-url", "sqlite:elsewhere.db"];
    let migrated = world.run(&[&["migrate"], &elsewhere[..]].concat()).await;
    assert!(migrated.status.success(), "{}", told(&migrated));
    let imported = [&["import", "past.jsonl", "--json"], &elsewhere[..]].concat();
    assert_eq!(printed(&world.run(&imported).await)["imported"], 1);
    let backfilled = [&["backfill", "--json"], &elsewhere[..]].concat();
    assert_eq!(printed(&world.run(&backfilled).await)["assigned"], 1);

    // The usual one knows nothing of it.
    let migrated = world.run(&["migrate"]).await;
    assert!(
        String::from_utf8_lossy(&migrated.stdout).contains("applied"),
        "{}",
        told(&migrated)
    );
    assert_eq!(printed(&world.run(&["backfill", "--json"]).await)["assigned"], 0);
    assert_eq!(world.count("messages").await, 0);
}
