use serde_json::{Value, json};
use throwaway_postgres::{Cluster, StopMode};
use tokio::task::block_in_place;

use super::{
    failed,
    history::{MESSAGES, PAIRS, US, check, customer, line, lines},
    printed, told,
};
use crate::world::{Kind, SOON, World, on_both_databases, until};

on_both_databases!(
    a_second_import_changes_nothing,
    bad_lines_are_reported_and_good_ones_imported,
    an_import_that_was_killed_is_continued,
);

fn summary(read: usize, imported: usize, repeated: usize, invalid: usize) -> Value {
    json!({"read": read, "imported": imported, "repeated": repeated, "invalid": invalid})
}

async fn a_second_import_changes_nothing(kind: Kind) {
    let world = World::new(kind);
    world.write_file("past.jsonl", &lines(0..MESSAGES));
    let first = world.run(&["import", "past.jsonl", "--json"]).await;
    assert_eq!(printed(&first), summary(MESSAGES, MESSAGES, 0, 0));
    let second = world.run(&["import", "past.jsonl", "--json"]).await;
    assert_eq!(printed(&second), summary(MESSAGES, 0, MESSAGES, 0));
    assert_eq!(world.count("messages").await, MESSAGES);
    assert_eq!(world.count("messages where conversation_id is not null").await, 0);
    assert_eq!(world.count("conversations").await, 0);
    assert_eq!(world.count("outbox").await, 0);

    // The service neither sends them nor receives them again.
    let node = world.start_node().await;
    let repeat = json!({"from": customer(7), "to": US, "type": "sms", "body": "x",
                        "messaging_provider_id": "past-7"});
    let repeated = node.post("/api/webhooks/sms", &repeat).await.expect(202);
    assert_eq!(repeated["conversation_id"], Value::Null);
    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    node.post("/api/messages/sms", &sms).await.expect(202);
    world.until_all_final(SOON).await;
    assert_eq!(world.ledger().len(), 1);
    assert_eq!(world.count("messages").await, MESSAGES + 1);
}

async fn bad_lines_are_reported_and_good_ones_imported(kind: Kind) {
    let world = World::new(kind);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&line(1)).unwrap();
        value["provider_message_id"] = json!("another");
        value["body"] = json!("a secret");
        change(&mut value);
        format!("{value}\n")
    };
    let long = with(&|value| value["body"] = json!("a secret ".repeat(200_000)));
    let mail = json!({"direction": "outbound", "channel": "email", "from": "Desk@Example.org", "to": "guest@example.com",
                      "subject": "Hi", "body": "<p>Hello</p>", "attachments": ["https://example.org/a.png"],
                      "timestamp": "never", "provider": "elsewhere", "provider_message_id": "past-1"});
    let input = [
        line(1),
        "\n".to_owned(),
        "a secret\n".to_owned(),
        with(&|value| value["to"] = json!("a secret")),
        long,
        with(&|value| value["channel"] = json!("fax")),
        line(1),
        format!("{mail}\n"),
        line(2).trim_end().to_owned(),
    ]
    .concat();
    let mut import = world.start(&["import", "--json"]);
    import.feed(&input).await;
    let output = import.output().await;
    let message = failed(&output);
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counted, summary(8, 3, 1, 4));
    for place in [
        "line 3: is not a JSON object",
        "line 4: /to: 'a' (character 1) is not allowed there",
        "line 5: is longer than",
        "line 6: /channel: use one of",
        "4 lines are not valid",
    ] {
        assert!(message.contains(place), "{place} is not in: {message}");
    }
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(world.count("messages").await, 3);
    assert_eq!(
        world
            .count("messages where channel = 'email' and provider = 'elsewhere'")
            .await,
        1
    );

    // Only the first errors are shown one by one.
    let mut import = world.start(&["import"]);
    import.feed(&"a secret\n".repeat(1_000)).await;
    let message = failed(&import.output().await);
    assert!(message.lines().count() < 30, "{message}");
    assert!(message.contains("1,000 lines are not valid"), "{message}");
}

async fn an_import_that_was_killed_is_continued(kind: Kind) {
    let world = World::new(kind);
    assert!(world.run(&["migrate"]).await.status.success());
    let mut import = world.start(&["import"]);
    import.feed(&lines(0..MESSAGES / 2)).await;
    until("something is imported", SOON, async || {
        (world.count("messages").await > 0).then_some(())
    })
    .await;
    import.kill().await;
    let survived = world.count("messages").await;
    assert!(survived < MESSAGES, "it was not killed in the middle");
    world.write_file("past.jsonl", &lines(0..MESSAGES));
    let rest = printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    // PostgreSQL may still finish what the killed one had asked for.
    let imported = rest["imported"].as_u64().unwrap() as usize;
    assert!(imported <= MESSAGES - survived, "{imported} more than {survived}");
    assert_eq!(rest, summary(MESSAGES, imported, MESSAGES - imported, 0));
    assert_eq!(world.count("messages").await, MESSAGES);
    printed(&world.run(&["backfill", "--json"]).await);
    let conversations = world.conversations().await;
    assert_eq!(conversations.len(), PAIRS);
    check(&conversations, 0..MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_an_import_from_beginning_is_told() {
    let world = World::new(Kind::Sqlite);
    let nowhere = failed(&world.run(&["import", "nowhere.jsonl"]).await);
    assert!(nowhere.contains("nowhere.jsonl"), "{nowhere}");
    let node = world.start_node().await;
    for command in ["import", "backfill"] {
        let taken = failed(&world.run(&[command]).await);
        assert!(taken.contains("another process"), "{taken}");
    }
    node.stop().await;
    let empty = world.run(&["import"]).await;
    assert!(empty.status.success(), "{}", told(&empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_without_a_provider_get_that_of_the_command_or_of_the_configuration() {
    let world = World::new(Kind::Sqlite);
    world.write_file("past.jsonl", &lines(0..3));
    printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    printed(
        &world
            .run(&["import", "past.jsonl", "--json", "--provider", "carrier"])
            .await,
    );
    for provider in ["sms-mms", "carrier"] {
        let stored = world
            .count(&format!("messages where provider = '{provider}'"))
            .await;
        assert_eq!(stored, 3, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_waited_for_then_reported() {
    let mut cluster = block_in_place(Cluster::start);
    let world = World::on(block_in_place(|| cluster.create_database()));
    assert!(world.run(&["migrate"]).await.status.success());
    let begun = async || {
        until("the first batch is imported", SOON, async || {
            (world.count("messages").await > 0).then_some(())
        })
        .await;
    };
    let mut import = world.start(&["import", "--json"]);
    import.feed(&lines(0..1_000)).await;
    begun().await;
    block_in_place(|| cluster.stop(StopMode::Immediate));
    let rest = lines(1_000..3_000);
    tokio::join!(import.feed(&rest), async {
        block_in_place(|| cluster.start_again())
    });
    assert_eq!(printed(&import.output().await)["read"], 3_000);
    assert_eq!(world.count("messages").await, 3_000);

    // This time it stays away.
    let mut import = world.start(&["import"]);
    import.feed(&lines(2_000..4_000)).await;
    block_in_place(|| cluster.stop(StopMode::Immediate));
    import.feed(&lines(4_000..MESSAGES)).await;
    let message = failed(&import.output().await);
    assert!(
        message.contains("cannot store a batch at line") && message.contains("run the import again"),
        "{message}"
    );
    block_in_place(|| cluster.start_again());
    world.write_file("past.jsonl", &lines(0..MESSAGES));
    printed(&world.run(&["import", "past.jsonl", "--json"]).await);
    assert_eq!(world.count("messages").await, MESSAGES);
}
