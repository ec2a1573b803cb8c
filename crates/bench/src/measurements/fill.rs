//! Fills databases by SQL, faster than a service could. The rows look accepted and dispatched, and the same indexes find
//! them.

use std::fmt::Write;

use crate::subjects::Store;

/// Conversations share their first participant with this many others.
pub(super) const CONVERSATIONS_PER_PARTICIPANT: u64 = 20;
/// 2026-01-01T00:00:00Z in milliseconds: generated messages are older than those of any load.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Messages to generate, spread evenly over conversations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    pub(super) conversations: u64,
    pub(super) messages: u64,
    /// Messages that follow those, all in conversation 1.
    pub(super) long: u64,
    /// Whether the messages still wait to be sent.
    pub(super) due: bool,
}

impl Fill {
    /// Adds these to an empty database with its tables, and updates its statistics.
    pub(super) async fn fill(self, store: &Store) -> anyhow::Result<()> {
        store.execute(&self.postgres(), &self.sqlite()).await
    }

    fn postgres(self) -> String {
        let Self {
            conversations,
            messages,
            long,
            due,
        } = self;
        let all = messages + long;
        let at = "to_timestamp(0) + ms * interval '1 millisecond'";
        let mut sql = format!(
            "insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
             select 'sms', '+1404' || lpad((n / {CONVERSATIONS_PER_PARTICIPANT})::text, 7, '0'),
                 '+1505' || lpad(n::text, 7, '0'),
                 {messages} / {conversations} + case when n < {messages} % {conversations} then 1 else 0 end
                     + case when n = 0 then {long} else 0 end,
                 to_timestamp(0) + ({EPOCH_MS} + n) * interval '1 millisecond', to_timestamp({EPOCH_MS} / 1000)
             from generate_series(0, {conversations} - 1) as n;
             insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
                 to_participant, body, timestamp, processed_at, provider)
             select (lpad(to_hex(ms), 12, '0') || '7000a' || lpad(to_hex(n), 15, '0'))::uuid, c + 1, s, 'outbound', 'sms',
                 a, b, a, b, repeat('x', 160), {at}, {at}, 'sms-mms'
             from (
                 select *, '+1404' || lpad((c / {CONVERSATIONS_PER_PARTICIPANT})::text, 7, '0') as a,
                     '+1505' || lpad(c::text, 7, '0') as b
                 from (
                 select n, {EPOCH_MS}::bigint + n as ms,
                     case when n < {messages} then n % {conversations} else 0 end as c,
                     case when n < {messages} then n / {conversations}
                         else ({messages} - 1) / {conversations} + 1 + n - {messages} end + 1 as s
                 from generate_series(0::bigint, {all} - 1) as n
                 ) as numbered
             ) as generated;"
        );
        if due {
            let _ = write!(
                sql,
                "insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
                 select id, conversation_id, 'sms-mms', 'sms', now(), 0, now() + interval '4 hours' from messages;"
            );
        } else {
            let _ = write!(
                sql,
                "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
                 select id, 1, 1, 'sms-mms', 'success', processed_at, 1 from messages;"
            );
        }
        // Statements sent together are one transaction, which `vacuum` refuses: see `settle`.
        sql
    }

    fn sqlite(self) -> String {
        let Self {
            conversations,
            messages,
            long,
            due,
        } = self;
        let all = messages + long;
        let mut sql = format!(
            "pragma synchronous = off;
             begin;
             with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n < {conversations} - 1)
             insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
             select 'sms', printf('+1404%07d', n / {CONVERSATIONS_PER_PARTICIPANT}), printf('+1505%07d', n),
                 {messages} / {conversations} + (n < {messages} % {conversations}) + (n = 0) * {long},
                 ({EPOCH_MS} + n) * 1000, {EPOCH_MS} * 1000
             from numbers;
             with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n < {all} - 1),
             generated as (
                 select n, {EPOCH_MS} + n as ms, iif(n < {messages}, n % {conversations}, 0) as c,
                     iif(n < {messages}, n / {conversations},
                         ({messages} - 1) / {conversations} + 1 + n - {messages}) + 1 as s
                 from numbers
             )
             insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, from_participant,
                 to_participant, body, timestamp, processed_at, provider)
             select unhex(printf('%012x7000a%015x', ms, n)), c + 1, s, 'outbound', 'sms',
                 printf('+1404%07d', c / {CONVERSATIONS_PER_PARTICIPANT}), printf('+1505%07d', c),
                 printf('+1404%07d', c / {CONVERSATIONS_PER_PARTICIPANT}), printf('+1505%07d', c),
                 printf('%.160c', 'x'), ms * 1000, ms * 1000, 'sms-mms'
             from generated;"
        );
        if due {
            let _ = write!(
                sql,
                "insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
                 select id, conversation_id, 'sms-mms', 'sms', unixepoch() * 1000000, 0, (unixepoch() + 14400) * 1000000 from messages;"
            );
        } else {
            let _ = write!(
                sql,
                "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
                 select id, 1, 1, 'sms-mms', 'success', processed_at, 1 from messages;"
            );
        }
        sql.push_str("commit; pragma wal_checkpoint(truncate);");
        sql
    }
}

/// Brings the database into the state of an old one: statistics, visibility map, and a flush.
pub(super) async fn settle(store: &Store) -> anyhow::Result<()> {
    store.execute("vacuum analyze", "").await?;
    store.execute("checkpoint", "").await
}
