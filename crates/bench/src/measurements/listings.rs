//! Listings of messages by every filter on a large store, of which each filter matches millions or a few.

use std::fmt::Write;

use domain::Clock;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::{Bench, fill::settle};
use crate::{
    load::Connection,
    report::{Row, Target},
};

/// 2026-01-01T00:00:00Z in milliseconds. Each message is processed a millisecond after the one before.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// Our numbers, each with as many conversations as the others.
const HUBS: u64 = 20;
const MESSAGES_PER_CONVERSATION: u64 = 20;
/// One message in so many goes to the first conversation.
const IN_THE_LONGEST: u64 = 250;
const FAILED: u64 = 2_000;
const PENDING: u64 = 300;
const SCHEDULED: u64 = 20_000;
const ROUNDS: u64 = 100;
const P95_MAX_MS: f64 = 10.0;

const LISTINGS: [(&str, &str); 25] = [
    ("all", ""),
    ("status=received", "status=received"),
    ("status=delivered", "status=delivered"),
    ("status=dispatched", "status=dispatched"),
    ("status=undelivered, few", "status=undelivered"),
    ("status=canceled, few", "status=canceled"),
    ("status=failed, few and old", "status=failed"),
    ("status=pending, few", "status=pending"),
    ("status=scheduled", "status=scheduled"),
    ("channel=sms", "channel=sms"),
    ("channel=mms, few", "channel=mms"),
    ("channel=email, none", "channel=email"),
    ("provider=rare, few", "provider=rare"),
    ("provider=none, none", "provider=none"),
    ("direction=inbound", "direction=inbound"),
    ("from a hub", "from=%2B14045550003"),
    ("from a hub, channel=mms, few", "from=%2B14045550003&channel=mms"),
    (
        "from a hub, status=undelivered, few",
        "from=%2B14045550003&status=undelivered",
    ),
    (
        "from a hub, status=failed, few",
        "from=%2B14045550003&status=failed",
    ),
    (
        "from a hub, status=scheduled",
        "from=%2B14045550003&status=scheduled",
    ),
    ("to a person", "to=%2B15052000003"),
    ("from a hub to a person", "from=%2B14045550003&to=%2B15052000003"),
    ("conversation_id, 20", "conversation_id=4"),
    ("conversation_id, the longest", "conversation_id=1"),
    ("since, the last", "since=2026-01-01T01:00:00Z"),
];

impl Bench {
    pub(crate) async fn listings(&mut self) -> anyhow::Result<()> {
        for kind in self.options.kinds.clone() {
            let stored = self.options.stored;
            let store = self.databases.create(kind).await?;
            self.trunkline.migrate(&store, self.directory()).await?;
            let began = self.clock.monotonic();
            store.execute(&postgres(stored), &sqlite(stored)).await?;
            settle(&store).await?;
            let filled_s = self.ms_since(began) / 1_000.0;
            self.report
                .note(format!("{kind}: {stored} messages generated in {filled_s:.0} s"));
            let server = self.trunkline.start(&store, self.directory(), &[]).await?;
            let mut connection = Connection::open(&server.authority).await?;
            for (what, filter) in LISTINGS {
                let mut latencies = Histogram::<u64>::new_with_max(60_000_000, 3)?;
                let (mut cursor, mut items) = (String::new(), 0);
                for round in 0..2 * ROUNDS {
                    // Page after page, and from the start again. The first rounds bring the pages into memory.
                    if round == ROUNDS {
                        cursor.clear();
                        latencies.clear();
                    }
                    let path = format!("/api/messages?pageSize=50&{filter}{cursor}");
                    let began = self.clock.monotonic();
                    let (status, body) = connection.get(&server.authority, &path).await?;
                    latencies.saturating_record((self.ms_since(began) * 1_000.0) as u64);
                    anyhow::ensure!(status == 200, "{path}: {status} {body}");
                    let page: Value = serde_json::from_str(&body)?;
                    items = items.max(page["items"].as_array().map_or(0, Vec::len));
                    let next = page["meta"]["next_cursor"].as_str();
                    cursor = next.map_or_else(String::new, |next| format!("&cursor={next}"));
                }
                let p95_ms = latencies.value_at_quantile(0.95) as f64 / 1_000.0;
                let name = format!("listing {what} ({items} a page), p95, {stored} messages, {kind}");
                self.report
                    .add(Row::new(name, "ms", p95_ms, Target::AtMost(P95_MAX_MS)));
            }
            server.stop().await?;
            self.databases.remove(store).await?;
        }
        Ok(())
    }
}

/// What both databases generate from the number of a message, `n`, and that of its conversation, `c`.
const DIRECTION: &str = "case when n % 5 = 0 then 'inbound' else 'outbound' end";
const CHANNEL: &str = "case when n % 10007 = 3 then 'mms' else 'sms' end";
const PROVIDER: &str = "case when n % 10009 = 5 then 'rare' else 'sms-mms' end";
const RESOLUTION: &str = "case
    when n % 5 = 0 then 'none' when n % 10037 = 7 then 'undelivered' when n % 100003 = 8 then 'canceled'
    when n % 10 < 7 then 'delivered' else 'none' end";

fn generated(stored: u64, numbers: &str) -> String {
    let conversations = stored.div_ceil(MESSAGES_PER_CONVERSATION);
    format!(
        "select n, c, n / {conversations} + 1 as s, case when n % 5 = 0 then b else a end as f,
             case when n % 5 = 0 then a else b end as t
         from (
             select n, c, '+1404' || (5550000 + c % {HUBS}) as a,
                 '+1505' || (2000000 + c) as b
             from (
                 select n, case when n % {IN_THE_LONGEST} = 17 then 0 else n % {conversations} end as c from {numbers}
             ) as numbered
         ) as addressed"
    )
}

fn outbox(now: &str, in_a_day: &str) -> String {
    let mut sql = String::new();
    let mut offset = 0;
    let dead = ["dead_at, failure_reason", &format!("{now}, 'exhausted'")];
    for (entries, due, delayed, [columns, values]) in [
        (FAILED, now, false, dead),
        (PENDING, now, false, ["attempts", "1"]),
        (SCHEDULED, in_a_day, true, ["attempts", "0"]),
    ] {
        let _ = write!(
            sql,
            "insert into outbox
                 (message_id, conversation_id, provider, channel, due_at, delayed, lease_token, deadline_at, {columns})
             select id, conversation_id, provider, channel, {due}, {delayed}, 0, {in_a_day}, {values}
             from messages where direction = 'outbound' and resolution = 'none' order by id limit {entries} offset {offset};"
        );
        offset += entries;
    }
    sql
}

fn postgres(stored: u64) -> String {
    let conversations = stored.div_ceil(MESSAGES_PER_CONVERSATION);
    let generated = generated(stored, &format!("generate_series(0::bigint, {stored} - 1) as n"));
    let at = format!("to_timestamp(0) + ({EPOCH_MS} + n) * interval '1 millisecond'");
    let outbox = outbox("now()", "now() + interval '1 day'");
    format!(
        "insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
         select 'sms', '+1404' || (5550000 + c % {HUBS}), '+1505' || (2000000 + c), 0,
             to_timestamp(0) + ({EPOCH_MS} + c) * interval '1 millisecond', to_timestamp({EPOCH_MS} / 1000)
         from generate_series(0, {conversations} - 1) as c;
         insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
             to_participant, body, timestamp, processed_at, provider, resolution)
         select (lpad(to_hex({EPOCH_MS} + n), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid, c + 1, s,
             {DIRECTION}, {CHANNEL}, f, t, f, t, repeat('x', 160), {at}, {at}, {PROVIDER}, {RESOLUTION}
         from ({generated}) as generated;
         update conversations set message_count = counted.count, outside_b = true
         from (select conversation_id, count(*) from messages group by conversation_id) as counted
         where counted.conversation_id = conversations.id;
         {outbox}"
    )
}

fn sqlite(stored: u64) -> String {
    let conversations = stored.div_ceil(MESSAGES_PER_CONVERSATION);
    let generated = generated(stored, "numbers");
    let outbox = outbox("unixepoch() * 1000000", "(unixepoch() + 86400) * 1000000");
    let numbers = |to: u64| {
        format!(
            "with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n < {to} - 1)"
        )
    };
    let (of_conversations, of_messages) = (numbers(conversations), numbers(stored));
    format!(
        "pragma synchronous = off;
         begin;
         {of_conversations}
         insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
         select 'sms', '+1404' || (5550000 + n % {HUBS}), '+1505' || (2000000 + n), 0,
             ({EPOCH_MS} + n) * 1000, {EPOCH_MS} * 1000
         from numbers;
         {of_messages}
         insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
             to_participant, body, timestamp, processed_at, provider, resolution)
         select unhex(printf('%012x70008%015x', {EPOCH_MS} + n, n)), c + 1, s,
             {DIRECTION}, {CHANNEL}, f, t, f, t, printf('%.160c', 'x'), ({EPOCH_MS} + n) * 1000, ({EPOCH_MS} + n) * 1000,
             {PROVIDER}, {RESOLUTION}
         from ({generated});
         update conversations set message_count = counted.count
         from (select conversation_id, count(*) as count from messages group by conversation_id) as counted
         where counted.conversation_id = conversations.id;
         {outbox}
         commit; pragma wal_checkpoint(truncate);"
    )
}
