//! What stands in one table and speaks of another. No foreign key guards it: the statements do, and this audit shows it.

use std::collections::BTreeSet;

use domain::{Direction, FailureReason, Outcome, ReceiptStatus};
use trunkline_store::{Accepted, Disposition, StoreError};

use crate::{
    builders::{Draft, Held, NOT_YET, SMS, dead, retry},
    import::past,
    world::{Kind, World},
};

/// Finds every row that is about a message or a conversation that is not there.
pub(crate) const AUDIT: &str = "
    select 'outbox' from outbox where not exists (select 1 from messages where id = message_id)
    union all
    select 'attempts' from attempts where not exists (select 1 from messages where id = message_id)
    union all
    select 'idempotency_keys' from idempotency_keys where not exists (select 1 from messages where id = message_id)
    union all
    select 'inbound_ids' from inbound_ids where not exists (select 1 from messages where id = message_id)
    union all
    select 'messages' from messages
    where conversation_id is not null
        and not exists (select 1 from conversations where conversations.id = conversation_id)
    union all
    select 'outbox.conversation_id' from outbox join messages on messages.id = outbox.message_id
    where outbox.conversation_id is distinct from messages.conversation_id
    union all
    select 'receipts' from receipts
    where receipts.message_id is not null
        and not exists (select 1 from messages where messages.id = receipts.message_id)
    union all
    select 'follow_ups' from follow_ups where not exists (select 1 from messages where id = message_id)
    union all
    select 'webhook_deliveries' from webhook_deliveries
    where not exists (select 1 from webhook_endpoints where webhook_endpoints.id = endpoint_id)
    union all
    select 'resolution' from messages join outbox on outbox.message_id = messages.id
    where messages.resolution <> 'none' or messages.delivery_status is not null";

/// Rows that refer to a missing message or conversation; `$now` and `$missing` are written differently in each database.
const ABOUT_NOTHING: [&str; 7] = [
    "insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
     values ($missing, 1, 'sms-mms', 'sms', $now, 0, $now)",
    "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
     values ($missing, 1, 1, 'sms-mms', 'error', $now, 1)",
    "insert into idempotency_keys (key, fingerprint, message_id, created_at) values ('k', $nothing, $missing, $now)",
    "insert into inbound_ids (provider, provider_message_id, from_participant, to_participant, payload, message_id)
     values ('sms-mms', 'p', 'a', 'b', '{}', $missing)",
    "insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant, to_participant,
        body, timestamp, processed_at, provider)
     values ($missing, 99, 1, 'inbound', 'sms', 'a', 'b', 'a', 'b', 'c', $now, $now, 'sms-mms')",
    "insert into receipts (message_id, status, at, received_at) values ($missing, 'sent', $now, $now)",
    "insert into follow_ups (message_id, attempt, place, provider, due_at) values ($missing, 1, 0, 'scripted', $now)",
];

pub(crate) async fn the_audit_finds_dangling_references(world: &World) {
    world.accept(world.outbound()).await;
    world.check_references().await;
    for statement in ABOUT_NOTHING {
        let postgres = [
            ("$now", "now()"),
            ("$missing", "gen_random_uuid()"),
            ("$nothing", "''"),
        ];
        let sqlite = [("$now", "0"), ("$missing", "randomblob(16)"), ("$nothing", "x''")];
        let [postgres, sqlite] = [postgres, sqlite].map(|names| {
            names.iter().fold(statement.to_owned(), |sql, (name, value)| {
                sql.replace(name, value)
            })
        });
        world.execute(&postgres, &sqlite).await;
    }
    assert_eq!(
        world.query(AUDIT).await,
        [
            "outbox",
            "attempts",
            "idempotency_keys",
            "inbound_ids",
            "messages",
            "receipts",
            "follow_ups"
        ]
    );
    // An entry of another conversation than its message's, and one of a message that is final.
    let wrong = "update outbox set conversation_id = 7; update messages set resolution = 'canceled'";
    world.execute(wrong, wrong).await;
    let found: BTreeSet<String> = world.query(AUDIT).await.into_iter().collect();
    assert!(
        found.contains("outbox.conversation_id") && found.contains("resolution"),
        "{found:?}"
    );
}

pub(crate) async fn no_reference_dangles(world: &World) {
    world.accept(world.outbound().key("k")).await;
    world.accept(world.inbound("p")).await;
    // Losers beside a winner, and a repeat of an import.
    let batch = [
        world.outbound().key("k"),
        world.outbound().key("k").body("other"),
        world.inbound("p"),
        world.outbound().key("l").between(5, 6),
    ];
    world.accept_all(&batch.map(Draft::accept)).await;
    for _ in 0..2 {
        let import = past(world.outbound().accept(), Direction::Inbound, "old");
        world.store.import(&[import]).await.unwrap();
    }
    let stale = world.claim(SMS, 10, NOT_YET).await;
    assert_eq!(stale.len(), 2);
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, dead(FailureReason::Exhausted))
        })
        .await;
    world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Success, Disposition::Finish)
        })
        .await;
    let retried = world.accept(world.outbound().leased(NOT_YET)).await;
    world
        .settle(Held::at_accept(retried).tried(Outcome::Timeout, retry(NOT_YET)))
        .await;
    for receipt in [
        world.receipt_for(retried, ReceiptStatus::Delivered),
        world.receipt_of("unknown", ReceiptStatus::Delivered),
    ] {
        world.store_receipt(&receipt).await;
    }
    let scheduled = world.accept(world.outbound().send_in(NOT_YET)).await;
    world.store.cancel(scheduled).await.unwrap();
    world.check_references().await;
}

/// The accepting statement tells messages their conversations by the order in which these are returned. Here a trigger makes
/// the returned rows others than those that were asked for.
#[tokio::test]
async fn conversations_that_are_not_returned_as_asked_for_abort_the_statement() {
    let world = World::create(Kind::Postgres).await;
    let trigger = "create function rename() returns trigger language plpgsql as $$
            begin new.participant_b := new.participant_b || '0'; return new; end
        $$;
        create trigger rename before insert on conversations for each row execute function rename()";
    world.execute(trigger, "").await;
    let batch = [world.outbound().key("k"), world.inbound("p")].map(Draft::accept);
    let refused = world.store.accept(&batch).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    world.execute("drop trigger rename on conversations", "").await;
    assert_eq!(world.messages().await, []);
    world.check_references().await;
    let accepted = world.accept_all(&batch).await;
    assert!(
        matches!(accepted[..], [Accepted::New { .. }, Accepted::New { .. }]),
        "{accepted:?}"
    );
}
