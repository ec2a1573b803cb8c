//! What PostgreSQL reads for the statements on the way of every message, which it plans once and for a store it then knows
//! to be empty (docs/decisions/0005).

use domain::Outcome;
use trunkline_store::Disposition;

use crate::{
    builders::{ALREADY, Draft, NOT_YET, SMS, retry},
    world::{Kind, World},
};

/// Entries of another provider, which none of the statements has anything to do with.
const OTHERS: i64 = 5_000;
/// Far more than a few messages need, and far less than reading through the others once.
const READ_MAX: i64 = OTHERS / 2;

#[tokio::test]
async fn what_waits_elsewhere_is_not_read() {
    let world = World::create(Kind::Postgres).await;
    every_hot_statement(&world, "a").await;
    // All of the outbox is dead rows by now: whatever is planned from here on is planned for one without entries.
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
         insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, body, timestamp,
             processed_at, provider)
         select id, 1, 1, 'outbound', 'email', 'a', 'b', 'c', now(), now(), 'other' from ids;
         insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
         select id, 1, 1, 'other', 'error', now(), 1 from ids;
         insert into outbox (message_id, provider, channel, due_at, leased_until, lease_token, deadline_at)
         select id, 'other', 'email', now(), now() + interval '1 hour', 1, now() + interval '1 hour' from ids;
         insert into idempotency_keys (key, fingerprint, message_id) select id::text, '', id from ids;
         insert into receipts (provider, provider_message_id, message_id, payload)
         select 'other', id::text, id, '' from ids;
         insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
         select 'sms', id::text, id::text, 0, now(), now() from ids"
    )
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
    let read = "select sum(idx_tup_fetch + seq_tup_read)::text from pg_stat_user_tables
        where relname <> 'schema_migrations'";
    world.query(read).await[0].parse().unwrap()
}
