//! PostgreSQL lists along the indexes that fit a filter: each way finds what a plain query finds, in the same order.

use domain::{
    Channel, ConversationId, Direction, Entropy, MessageId, PageRequest, Participant, Start, Status,
    TOTAL_COUNTED_MAX, Timestamp,
};
use trunkline_store::MessageFilter;

use crate::{
    builders::name,
    world::{Kind, World},
};

const PAGE_SIZE: u32 = 7;
/// 2025-01-01, in milliseconds. Each message is processed a millisecond after the one before.
const EPOCH_MS: u64 = 1_735_689_600_000;

#[tokio::test]
async fn every_filter_finds_what_a_plain_query_finds_among_few() {
    compare(2_000, 250).await;
}

/// So many that parts of the outbox are too large to be sorted.
#[tokio::test]
async fn every_filter_finds_what_a_plain_query_finds_among_many() {
    compare(40_000, 150).await;
}

async fn compare(messages: u64, filters: usize) {
    let world = World::create(Kind::Postgres).await;
    world.execute(&filled(messages), "").await;
    let entropy = Entropy::from_seed(7);
    let below = |bound: u64| entropy.next_u64() % bound;
    let mut listed = 0;
    for _ in 0..filters {
        let filter = filter(&below, messages);
        let matching = matching(&filter);
        let [total] = &world
            .query(&format!("select count(*)::text from ({matching}) as matching"))
            .await[..]
        else {
            panic!("one row")
        };
        let total: u64 = total.parse().unwrap();
        let middle = MessageId::lowest_since(at(below(messages)));
        for (start, condition, offset) in [
            (Start::First, "true".to_owned(), 0),
            (Start::Page(2), "true".to_owned(), PAGE_SIZE),
            (Start::After(middle), format!("id < '{middle}'"), 0),
        ] {
            let expected = world
                .query(&format!(
                    "select id::text from ({matching}) as matching where {condition}
                     order by id desc limit {PAGE_SIZE} offset {offset}"
                ))
                .await;
            let page = world
                .store
                .messages(&filter, &PageRequest::new(PAGE_SIZE, start))
                .await;
            let page = page.unwrap_or_else(|error| panic!("{filter:?}: {error}"));
            let found: Vec<String> = page.items.iter().map(|message| message.id.to_string()).collect();
            assert_eq!(found, expected, "{filter:?} {start:?}");
            assert_eq!(page.total.count, total.min(TOTAL_COUNTED_MAX), "{filter:?}");
            listed += found.len();
        }
    }
    assert!(listed > filters, "the filters match next to nothing");
}

fn at(message: u64) -> Timestamp {
    Timestamp::from_micros(((EPOCH_MS + message) * 1_000) as i64).unwrap()
}

/// Messages of two participants that write to many others and to each other, and of one that writes to the first only.
fn filled(messages: u64) -> String {
    format!(
        "create temporary table generated as
         select
             (lpad(to_hex({EPOCH_MS} + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid as id, n,
             to_timestamp(({EPOCH_MS} + n) / 1000.0) as at,
             (array['sms', 'sms', 'sms', 'mms', 'email'])[1 + a % 5] as channel,
             (array['one', 'one', 'two'])[1 + b % 3] as provider,
             case when c % 2 = 0 then 'outbound' else 'inbound' end as direction,
             (array['none', 'none', 'none', 'none', 'none', 'delivered', 'undelivered', 'canceled'])[1 + d % 8]
                 as resolution,
             case e % 6
                 when 0 then '+1001' when 1 then '+2000' when 2 then '+1000' else '+3' || e % 200
             end as person,
             case when e % 6 < 3 or e % 12 < 9 then '+1000' else '+1001' end as hub, f
         from (
             select n, get_byte(h, 0) as a, get_byte(h, 1) as b, get_byte(h, 2) as c, get_byte(h, 3) as d,
                 get_byte(h, 4) * 256 + get_byte(h, 5) as e, get_byte(h, 6) as f
             from (select n, decode(md5(n::text), 'hex') as h from generate_series(1, {messages}::bigint) as n) as hashed
         ) as drawn;
         insert into messages (id, direction, channel, sender, recipient, from_participant, to_participant, body, timestamp,
             processed_at, provider, resolution)
         select id, direction, channel, hub, person,
             case direction when 'outbound' then hub else person end,
             case direction when 'outbound' then person else hub end,
             'x', at - f * interval '1 second', at, provider, case direction when 'outbound' then resolution else 'none' end
         from generated;
         insert into conversations
             (channel, participant_a, participant_b, message_count, last_activity_at, created_at, outside_a, outside_b)
         select case channel when 'email' then 'email' else 'sms' end, least(from_participant, to_participant),
             greatest(from_participant, to_participant), count(*), max(timestamp), min(timestamp),
             bool_or(own_participant = greatest(from_participant, to_participant)),
             bool_or(own_participant = least(from_participant, to_participant))
         from messages where id in (select id from generated where f <> 0)
         group by 1, 2, 3 order by 4 desc;
         update messages
         set conversation_id = conversations.id, sequence = n
         from conversations, generated
         where generated.id = messages.id and f <> 0
             and conversations.channel = case messages.channel when 'email' then 'email' else 'sms' end
             and participant_a = least(from_participant, to_participant)
             and participant_b = greatest(from_participant, to_participant);
         insert into outbox (message_id, conversation_id, provider, channel, due_at, delayed, attempts, lease_token,
             deadline_at, dead_at, failure_reason)
         select messages.id, conversation_id, messages.provider, messages.channel,
             now() + case when f % 4 = 1 then interval '1 day' else - interval '1 day' end, f % 4 < 2,
             case when f % 8 = 5 then 1 else 0 end, 0, now() + interval '9 days', case when f % 4 = 2 then now() end,
             case when f % 4 = 2 then 'exhausted' end
         from messages join generated using (id)
         where messages.direction = 'outbound' and messages.resolution = 'none' and conversation_id is not null
             and f % 16 > 4;"
    )
}

fn filter(below: &impl Fn(u64) -> u64, messages: u64) -> MessageFilter {
    let some = |one_in: u64| below(one_in) == 0;
    let participant = || {
        let texts = ["+1000", "+1000", "+1001", "+2000", "+37", "+3155", "+9"];
        Participant::from_stored(texts[below(texts.len() as u64) as usize])
    };
    let channels = [Channel::Sms, Channel::Mms, Channel::Email];
    let directions = [Direction::Inbound, Direction::Outbound];
    MessageFilter {
        status: some(2).then(|| Status::ALL[below(Status::ALL.len() as u64) as usize]),
        channel: some(4).then(|| channels[below(3) as usize]),
        provider: some(4).then(|| name(["one", "two", "zero"][below(3) as usize])),
        direction: some(4).then(|| directions[below(2) as usize]),
        from: some(3).then(participant),
        to: some(3).then(participant),
        conversation_id: some(4).then(|| ConversationId::new(1 + below(20) as i64).unwrap()),
        since: some(4).then(|| at(below(messages))),
    }
}

/// All messages that match, as a query.
fn matching(filter: &MessageFilter) -> String {
    let mut conditions = vec!["true".to_owned()];
    let mut equal = |column: &str, value: Option<&str>| {
        conditions.extend(value.map(|value| format!("{column} = '{value}'")));
    };
    equal("status", filter.status.map(Status::as_str));
    equal("channel", filter.channel.map(Channel::as_str));
    equal(
        "provider",
        filter.provider.as_ref().map(|provider| provider.as_str()),
    );
    equal("direction", filter.direction.map(Direction::as_str));
    equal("from_participant", filter.from.as_ref().map(Participant::as_str));
    equal("to_participant", filter.to.as_ref().map(Participant::as_str));
    let conversation = filter.conversation_id.map(|id| id.to_string());
    equal("conversation_id", conversation.as_deref());
    conditions.extend(filter.since.map(|since| format!("processed_at >= '{since}'")));
    format!(
        "select id from messages_with_status where {}",
        conditions.join(" and ")
    )
}
