//! A database behind a slow link, with locked rows or with a missing right: everything else goes on, and nothing is sent twice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use throwaway_postgres::{Cluster, Proxy};
use tokio_postgres::{Client, NoTls};

use crate::world::{Node, SOON, Stopwatch, World, text, until};

/// Bytes of a large message; more than this is more than the default settings take.
const LARGE: usize = 250_000;
/// Bytes per second of 100 and of 2 Mbit/s.
const FAST: u64 = 12_500_000;
const SLOW: u64 = 250_000;

/// A session of the operator's.
async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of the current schema.
async fn database() -> (World, String) {
    let url = tokio::task::block_in_place(|| Cluster::shared().create_database());
    let world = World::on(url.clone()).set("API_PROVIDER_LATENCY_MS", 1);
    let migrated = world.run(&["migrate"]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    (world, url)
}

/// Messages that are due, as a node that is gone has left them.
async fn leave_due(operator: &Client, messages: usize) {
    let statement = format!(
        "with conversation as (
            insert into conversations
                (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
            values ('email', 'a@example.com', 'b@example.com', {messages}, now(), now())
            on conflict (participant_a, participant_b, channel)
                do update set message_count = conversations.message_count + excluded.message_count
            returning id, message_count
        ),
        message as (
            insert into messages
                (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant, to_participant, body,
                    timestamp, processed_at, provider)
            select
                gen_random_uuid(), id, message_count - {messages} + n, 'outbound', 'email', 'a@example.com',
                'b@example.com', 'a@example.com', 'b@example.com', repeat('x', {LARGE}), now(), now(), 'email'
            from conversation, generate_series(1, {messages}) as n
            returning id, conversation_id
        )
        insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
        select id, conversation_id, 'email', 'email', now(), 0, now() + interval '1 day' from message"
    );
    operator.batch_execute(&statement).await.unwrap();
}

async fn count(operator: &Client, rows_where: &str) -> i64 {
    let statement = format!("select count(*) from {rows_where}");
    operator.query_one(&statement, &[]).await.unwrap().get(0)
}

async fn until_none(operator: &Client, rows_where: &str, bound: Duration) {
    until(&format!("no {rows_where}"), bound, async || {
        (count(operator, rows_where).await == 0).then_some(())
    })
    .await;
}

async fn send(node: &Node, channel: &str, body: &str) -> String {
    let message = match channel {
        "email" => json!({"from": "shop@example.com", "to": "customer@example.com", "body": body}),
        _ => json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": body}),
    };
    let answer = node.post(&format!("/api/messages/{channel}"), &message).await;
    text(&answer.expect(202)["id"])
}

/// How often the providers were called for each message.
fn calls(world: &World) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in world.ledger() {
        *calls.entry(format!("{:?}", call.message)).or_default() += 1;
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_go_out_over_any_link() {
    let (world, url) = database().await;
    let operator = session(&url).await;
    let proxy = Proxy::before(Cluster::shared().port());
    let world = world.set("DATABASE_URL", proxy.url(&url));
    proxy.limit(Some(FAST), Some(FAST));
    leave_due(&operator, 200).await;
    let node = world.start_node().await;
    let watch = Stopwatch::start();
    until_none(&operator, "outbox", SOON * 3).await;
    println!(
        "200 messages of {LARGE} bytes over 100 Mbit/s: {:?}",
        watch.elapsed()
    );

    // The link becomes slow: a claim of the previous size now takes far too long.
    proxy.limit(Some(SLOW), Some(SLOW));
    leave_due(&operator, 20).await;
    let watch = Stopwatch::start();
    until_none(&operator, "outbox", SOON * 3).await;
    println!(
        "20 messages of {LARGE} bytes over 2 Mbit/s: {:?}",
        watch.elapsed()
    );
    node.kill().await;
    let calls = calls(&world);
    assert_eq!(calls.len(), 220);
    assert!(calls.values().all(|times| *times == 1), "{calls:?}");
    assert_eq!(count(&operator, "attempts where outcome <> 'success'").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_entry_keeps_no_other_waiting() {
    let (world, url) = database().await;
    let world = world.set("API_PROVIDER_LATENCY_MS", 1_500);
    let node = world.start_node().await;
    let mut operator = session(&url).await;
    let locked = send(&node, "sms", "locked").await;
    let session_with_lock = operator.transaction().await.unwrap();
    // The call is under way.
    let lock = format!("select from outbox where message_id = '{locked}' for update");
    assert_eq!(session_with_lock.query(&lock, &[]).await.unwrap().len(), 1);
    let watcher = session(&url).await;
    let watch = Stopwatch::start();
    for number in 0..40 {
        let channel = if number % 2 == 0 { "sms" } else { "email" };
        send(&node, channel, &format!("number {number}")).await;
    }
    until_none(&watcher, &format!("outbox where message_id <> '{locked}'"), SOON).await;
    let others = watch.elapsed();
    until("it is set aside", SOON, async || {
        let aside = node
            .log_lines("WARN")
            .into_iter()
            .find(|line| line["message_id"] == locked)?;
        text(&aside["message"]).contains("set aside").then_some(())
    })
    .await;
    assert_eq!(count(&watcher, "outbox where leased_until is not null").await, 1);
    session_with_lock.rollback().await.unwrap();
    until_none(&watcher, "outbox", SOON).await;
    println!("beside a locked entry, 40 messages were settled within {others:?}");
    // A settlement waits for a statement's time at most, and its batch for some of them: not for the lock.
    assert!(others < SOON / 2, "{others:?}");
    assert!(calls(&world).values().all(|times| *times == 1));
    assert_eq!(count(&watcher, "attempts where outcome = 'success'").await, 41);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_calls_survive_a_missing_right() {
    let (world, url) = database().await;
    let operator = session(&url).await;
    let grants = "create role node login;
        grant all on schema public to node;
        grant all on all tables in schema public to node;
        grant all on all sequences in schema public to node";
    operator.batch_execute(grants).await.unwrap();
    let world = world.set("DATABASE_URL", url.replace("postgres@", "node@"));
    let node = world.start_node().await;
    operator
        .batch_execute("revoke insert on attempts from node")
        .await
        .unwrap();
    for number in 0..20 {
        send(&node, "sms", &format!("number {number}")).await;
    }
    until("all were called for", SOON, async || {
        (calls(&world).len() == 20).then_some(())
    })
    .await;
    // Each result is refused on its own, repeatedly.
    until("it is noticed", SOON, async || {
        node.log().contains("set aside").then_some(())
    })
    .await;
    assert_eq!(count(&operator, "outbox").await, 20);
    operator
        .batch_execute("grant insert on attempts to node")
        .await
        .unwrap();
    until_none(&operator, "outbox", SOON).await;
    let calls = calls(&world);
    assert!(calls.values().all(|times| *times == 1), "{calls:?}");
    assert_eq!(count(&operator, "attempts where outcome = 'success'").await, 20);
    node.stop().await;
}

/// The database never takes the result of one call. After the lease expires, the node claims the entry again and still knows that
/// the provider has the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_ever_is_not_sent_again() {
    let (world, url) = database().await;
    let operator = session(&url).await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'no success here' using errcode = 'check_violation'; end
        $$;
        create trigger no_success before insert on attempts for each row
            when (new.outcome = 'success' and exists_poison(new.message_id)) execute function refuse()";
    let poison = "create function exists_poison(wanted uuid) returns boolean stable language sql as
        'select exists (select from messages where id = wanted and body = ''poison'')'";
    operator.batch_execute(poison).await.unwrap();
    operator.batch_execute(refuse).await.unwrap();
    let world = world
        .set("API_WORKER_CALL_TIMEOUT_MS", 1_000)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 4);
    let node = world.start_node().await;
    let poison = send(&node, "sms", "poison").await;
    for number in 0..20 {
        send(&node, "sms", &format!("number {number}")).await;
    }
    until_none(&operator, &format!("outbox where message_id <> '{poison}'"), SOON).await;
    until_none(&operator, "outbox", SOON).await;
    let outcomes = async || -> Vec<(String, Option<String>)> {
        let statement = format!("select outcome, late_outcome from attempts where message_id = '{poison}'");
        let rows = operator.query(&statement, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    assert_eq!(
        outcomes().await,
        [("unknown".to_owned(), Some("success".to_owned()))]
    );
    let calls = calls(&world);
    assert!(
        calls.len() == 21 && calls.values().all(|times| *times == 1),
        "{calls:?}"
    );
    let shown: Value = node.get(&format!("/api/messages/{poison}")).await.json();
    assert_eq!(shown["status"], "dispatched");
    node.stop().await;
}
