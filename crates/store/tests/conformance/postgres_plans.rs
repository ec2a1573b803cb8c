//! What PostgreSQL reads: for the statements on the way of every message, which it plans once and for a store it then knows
//! to be empty (docs/decisions/0005), and for reads, of tables about which it knows nothing or what was true long ago.

use std::time::Duration;

use domain::{
    Channel, ConversationChannel, ConversationId, Direction, MessageId, Outcome, PageRequest, Participant,
    ReceiptStatus, Start, Status, TOTAL_COUNTED_MAX, ThreadPosition, Timestamp,
};
use trunkline_store::{ConversationFilter, Disposition, MessageFilter, QUEUE_COUNTED_MAX, StoreError};

use crate::{
    builders::{ALREADY, Draft, NOT_YET, SMS, name, retry},
    postgres_receipts::receipt,
    world::{Kind, World},
};

/// Entries of a provider that no statement of the test is about.
const OTHERS: i64 = 5_000;
/// Far more than a few messages need, and far less than reading through the others once.
const READ_MAX: i64 = OTHERS / 2;

#[tokio::test]
async fn entries_of_other_providers_are_not_read() {
    let world = World::create(Kind::Postgres).await;
    every_hot_statement(&world, "a").await;
    // The outbox has only dead rows by now, so statements are planned for an empty outbox.
    world.execute("analyze", "").await;
    every_hot_statement(&world, "b").await;
    world.execute(&others(), "").await;
    world
        .execute("select pg_stat_reset(), pg_stat_force_next_flush()", "")
        .await;
    every_hot_statement(&world, "c").await;

    let read = read_so_far(&world).await;
    assert!((1..READ_MAX).contains(&read), "{read} rows were read");
}

/// Accepts, repeats, claims, settles, gives back, loses leases: all that is asked of a store on the way of a message.
async fn every_hot_statement(world: &World, key: &str) {
    world.accept(world.outbound().key(key)).await;
    let repeats = [world.outbound().key(key), world.inbound(key)];
    world.accept_all(&repeats.map(Draft::accept)).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(stale.tried(Outcome::Success, Disposition::Finish))
        .await;
    world.settle(held.tried(Outcome::Error, retry(ALREADY))).await;
    world
        .store
        .store_receipt(&receipt("late", ReceiptStatus::Sent))
        .await
        .unwrap();
    let end = world.store.event_log().await.unwrap().end;
    world.store.events(end, 100).await.unwrap();
    let held = world.claim_one(SMS, NOT_YET).await;
    world.release(&[(held.id, held.token)]).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(held.tried(Outcome::Success, Disposition::Finish))
        .await;
}

/// Fills the tables.
fn others() -> String {
    format!(
        "create temporary table ids as select gen_random_uuid() as id from generate_series(1, {OTHERS});
         insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
             to_participant, body, timestamp, processed_at, provider)
         select id, 1, 1, 'outbound', 'email', 'a', 'b', 'a', 'b', 'c', now(), now(), 'other' from ids;
         insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms, provider_message_id)
         select id, 1, 1, 'other', 'success', now(), 1, id::text from ids;
         insert into receipts (provider, provider_message_id, named_message_id, status, at, received_at)
         select 'other', 'unmatched ' || id, id, 'sent', now(), now() from ids;
         insert into event_batches (last_position, types, subject_ids, conversation_ids)
         select 1000 + row_number() over (), array['message.accepted'], array[id], array[1] from ids;
         update event_log set end_position = 1000 + {OTHERS};
         insert into outbox (message_id, conversation_id, provider, channel, due_at, leased_until, lease_token, deadline_at)
         select id, 1, 'other', 'email', now(), now() + interval '1 hour', 1, now() + interval '1 hour' from ids;
         insert into idempotency_keys (key, fingerprint, message_id) select id::text, '', id from ids;
         insert into inbound_ids
             (provider, provider_message_id, from_participant, to_participant, message_id, payload)
         select 'other', id::text, 'a', 'b', id, '' from ids;
         insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
         select 'sms', id::text, id::text, 0, now(), now() from ids"
    )
}

/// Messages of one conversation, each a second after the one before. Some of the oldest are dead letters, some of the others wait.
const MESSAGES: i64 = 60_000;
const DEAD: i64 = 20_000;
const WAITING: i64 = 20_000;
const DELAYED: i64 = 5_000;
/// Conversations, each active a second after the one before.
const CONVERSATIONS: i64 = 20_000;
/// What a total may read: entries of an index, and for some listings whether there is an outbox entry for each.
const COUNTING_MAX: i64 = 2 * (TOTAL_COUNTED_MAX as i64 + 1);
/// What a listing of a conversation may read, or one of a participant outside: each message, and whether it has an outbox entry.
/// A listing of a participant's pending messages may read as many entries with their messages.
const SORTING_MAX: i64 = 2 * MESSAGES;
/// What a page may read for each message on it: its row in the index, in its table, for its size, with its outbox entry, and one
/// row more of each kind of message.
const EACH_MAX: i64 = 12;

/// A database into which much was loaded since it was looked at last, if it ever was.
fn loaded() -> String {
    format!(
        "insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
         select 'sms', '+1' || n, '+2' || n, 1, now() + n * interval '1 second', now() from generate_series(1, {CONVERSATIONS}) n;
         update conversations set message_count = {MESSAGES}, outside_b = true where id = 1;
         create temporary table ids as
         select n, (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000000000000000')::uuid as id
         from generate_series(1, {MESSAGES}) as n;
         insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
             to_participant, body, timestamp, processed_at, provider)
         select id, 1, n, 'outbound', 'sms', 'a', 'b', '+11', '+21', 'c', now() + n * interval '1 second', now(), 'bulk' from ids;
         insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
         select id, 1, 1, 'bulk', 'error', now(), 1 from ids;
         insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at, dead_at, failure_reason)
         select id, 1, 'bulk', 'sms', now(), 1, now(), now(), 'exhausted' from ids where n <= {DEAD};
         insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
         select id, 1, 'bulk', 'sms', now() - interval '1 hour' - n * interval '1 second', 1, now() + interval '1 hour'
         from ids where n > {DEAD} and n <= {DEAD} + {WAITING};
         insert into outbox (message_id, conversation_id, provider, channel, due_at, delayed, lease_token, deadline_at)
         select id, 1, 'bulk', 'sms', now() + interval '1 day', true, 0, now() + interval '2 days'
         from ids where n > {DEAD} + {WAITING} and n <= {DEAD} + {WAITING} + {DELAYED};
         update messages set resolution = 'undelivered' where sequence > {MESSAGES} - 3;
         drop table ids"
    )
}

#[tokio::test]
async fn reads_go_along_their_indexes_in_a_table_never_analyzed() {
    reads_go_along_their_indexes("").await;
}

#[tokio::test]
async fn reads_go_along_their_indexes_in_a_table_analyzed_while_it_was_empty() {
    reads_go_along_their_indexes("analyze").await;
}

#[tokio::test]
async fn reads_go_along_their_indexes_in_an_analyzed_table() {
    let world = filled("").await;
    world.execute("vacuum analyze", "").await;
    every_read(&world).await;
}

async fn reads_go_along_their_indexes(before: &str) {
    every_read(&filled(before).await).await;
}

async fn filled(before: &str) -> World {
    let world = World::create(Kind::Postgres).await;
    for table in [
        "conversations",
        "messages",
        "outbox",
        "attempts",
        "idempotency_keys",
        "inbound_ids",
    ] {
        let alone = format!("alter table {table} set (autovacuum_enabled = off)");
        world.execute(&alone, "").await;
    }
    world.execute(before, "").await;
    world.execute(&loaded(), "").await;
    world
}

async fn every_read(world: &World) {
    let store = &world.store;
    let conversation = ConversationId::new(1).unwrap();
    // Below the newest, above those that wait.
    let middle: MessageId = "018bcfe6-2b50-7000-8000-000000000000".parse().unwrap();
    let filter = |status, channel, provider: Option<&str>| MessageFilter {
        status,
        channel,
        provider: provider.map(name),
        ..MessageFilter::default()
    };
    let listings = [
        filter(None, None, None),
        filter(None, None, Some("bulk")),
        filter(None, None, Some("nosuch")),
        filter(None, Some(Channel::Mms), None),
        filter(Some(Status::Dispatched), None, None),
        filter(Some(Status::Received), Some(Channel::Sms), None),
        filter(Some(Status::Pending), None, None),
        filter(Some(Status::Pending), Some(Channel::Sms), Some("nosuch")),
        filter(Some(Status::Failed), None, Some("bulk")),
        filter(Some(Status::Failed), Some(Channel::Email), None),
        filter(Some(Status::Scheduled), None, None),
        filter(Some(Status::Delivered), None, Some("bulk")),
        // Few, and their neighbours in the index are many.
        filter(Some(Status::Undelivered), None, None),
    ];
    let participant = |text: &str| Some(Participant::from_stored(text));
    let of_participants = [
        MessageFilter {
            from: participant("+11"),
            ..filter(None, None, None)
        },
        MessageFilter {
            from: participant("+11"),
            ..filter(Some(Status::Undelivered), None, None)
        },
        MessageFilter {
            to: participant("+21"),
            ..filter(Some(Status::Dispatched), None, None)
        },
        MessageFilter {
            from: participant("+21"),
            ..filter(Some(Status::Pending), None, None)
        },
        MessageFilter {
            from: participant("+11"),
            to: participant("+21"),
            ..filter(None, None, None)
        },
        MessageFilter {
            conversation_id: Some(conversation),
            ..filter(None, Some(Channel::Sms), None)
        },
        MessageFilter {
            conversation_id: ConversationId::new(2),
            ..filter(None, None, None)
        },
        MessageFilter {
            direction: Some(Direction::Inbound),
            since: Some(Timestamp::EARLIEST),
            ..filter(None, None, None)
        },
    ];
    let listings = listings.into_iter().chain(of_participants);
    let listings: Vec<MessageFilter> = listings.collect();
    for size in [50, 100, 200] {
        let starts = [Start::First, Start::Page(3), Start::After(middle)];
        for start in starts {
            let page = PageRequest::new(size, start);
            for filter in &listings {
                let sorted = filter.conversation_id == Some(conversation)
                    || filter.to.is_some()
                    || filter.from.is_some() && filter.status == Some(Status::Pending);
                let sorting = if sorted { SORTING_MAX } else { 0 };
                let max = sorting + COUNTING_MAX + EACH_MAX * 3 * i64::from(size);
                rows_read(world, &format!("{filter:?} {start:?} {size}"), max, async || {
                    store.messages(filter, &page).await.map(drop)
                })
                .await;
            }
        }
        let after = ThreadPosition {
            timestamp: Timestamp::MIN,
            sequence: 7,
        };
        for start in [Start::First, Start::Page(3), Start::After(after)] {
            let page = PageRequest::new(size, start);
            rows_read(
                world,
                &format!("thread {start:?} {size}"),
                EACH_MAX * 3 * i64::from(size),
                async || {
                    let page = store.thread(conversation, &page).await?.unwrap();
                    assert_eq!(page.items.len(), size as usize);
                    Ok(())
                },
            )
            .await;
        }
        for channel in [
            None,
            Some(ConversationChannel::Sms),
            Some(ConversationChannel::Email),
        ] {
            for start in [Start::First, Start::Page(3)] {
                let filter = ConversationFilter {
                    channel,
                    participant: None,
                };
                let page = PageRequest::new(size, start);
                let max = COUNTING_MAX + EACH_MAX * 3 * i64::from(size);
                rows_read(world, &format!("{filter:?} {start:?} {size}"), max, async || {
                    store.conversations(&filter, &page).await.map(drop)
                })
                .await;
            }
        }
    }
    let of_one = ConversationFilter {
        channel: None,
        participant: Some(Participant::from_stored("+17")),
    };
    let page = PageRequest::new(0, Start::First);
    rows_read(world, "of a participant", 50, async || {
        let page = store.conversations(&of_one, &page).await?;
        assert_eq!(page.items.len(), 1);
        Ok(())
    })
    .await;
    rows_read(world, "a message", 50, async || {
        store
            .message(middle)
            .await
            .map(|message| assert!(message.is_some()))
    })
    .await;
    rows_read(world, "a conversation", 50, async || {
        store.conversation(conversation).await.map(drop)
    })
    .await;
    rows_read(world, "without_conversation", 50, async || {
        store.without_conversation(None, 100).await?;
        store.count_without_conversation().await.map(drop)
    })
    .await;
    rows_read(world, "queue depths", 3 * QUEUE_COUNTED_MAX as i64, async || {
        let depths = store.queue_depths().await?;
        let [depth] = &depths[..] else {
            panic!("{depths:?}")
        };
        let counted = (depth.waiting, depth.leased, depth.dead, depth.capped);
        assert_eq!(counted, (QUEUE_COUNTED_MAX, 0, QUEUE_COUNTED_MAX, true));
        // The oldest entry is found although it is not among the first by its id.
        let oldest = Duration::from_secs(3_600 + (DEAD + WAITING) as u64);
        assert!(depth.oldest >= oldest, "{:?}", depth.oldest);
        Ok(())
    })
    .await;
}

/// Reads, and insists that no more than `max` rows were read for it.
async fn rows_read(world: &World, what: &str, max: i64, read: impl AsyncFn() -> Result<(), StoreError>) {
    world
        .execute("select pg_stat_reset(), pg_stat_force_next_flush()", "")
        .await;
    // A connection that the last look has closed may not know of it yet.
    let mut result = read().await;
    while result.is_err() {
        result = read().await;
    }
    let rows = read_so_far(world).await;
    assert!(rows <= max, "{what}: {rows} rows were read, more than {max}");
}

/// Rows that came out of indexes and tables, as far as the store's connections read them: they are closed, which makes them
/// tell.
async fn read_so_far(world: &World) -> i64 {
    let ours = "from pg_stat_activity where application_name = 'trunkline' and datname = current_database()";
    loop {
        let left = world
            .query(&format!("select pg_terminate_backend(pid)::text {ours}"))
            .await;
        if left.is_empty() {
            break;
        }
    }
    let read = "select (
            (select sum(seq_tup_read) from pg_stat_user_tables where relname <> 'schema_migrations')
            + (select sum(idx_tup_read) from pg_stat_user_indexes where relname <> 'schema_migrations')
        )::text";
    world.query(read).await[0].parse().unwrap()
}
