-- The tables of migrations/postgres/0001_initial.sql; see the comments there. Times are microseconds since 1970 in UTC; ids
-- of messages are the 16 bytes of the UUID; attachments are a JSON array.

create table conversations (
    id               integer primary key,
    channel          text not null,
    participant_a    text not null,
    participant_b    text not null,
    message_count    integer not null,
    last_activity_at integer not null,
    created_at       integer not null,
    unique (participant_a, participant_b, channel)
) strict;
create index conversations_by_activity on conversations (channel, last_activity_at desc, id desc);
create index conversations_by_participant_b on conversations (participant_b);

create table messages (
    id              blob primary key,
    conversation_id integer,
    sequence        integer,
    direction       text not null,
    channel         text not null,
    sender          text not null,
    recipient       text not null,
    subject         text,
    body            text not null,
    attachments     text,
    timestamp       integer not null,
    processed_at    integer not null,
    provider        text not null
) strict;
create index messages_by_thread on messages (conversation_id, timestamp, sequence);
create index messages_unthreaded on messages (id) where conversation_id is null;
create index messages_by_kind on messages (provider, channel, direction, id);

create table outbox (
    message_id            blob primary key,
    provider              text not null,
    channel               text not null,
    due_at                integer not null,
    leased_until          integer,
    lease_token           integer not null,
    deadline_at           integer not null,
    dead_at               integer,
    attempts              integer not null default 0,
    counted               integer not null default 0,
    rate_limited_in_a_row integer not null default 0,
    panics                integer not null default 0,
    not_taken             integer not null default 0,
    unsure                integer not null default 0,
    failure_reason        text,
    failure_code          text
) strict, without rowid;
create index outbox_claimable on outbox (provider, coalesce(leased_until, due_at)) where dead_at is null;
create index outbox_by_deadline on outbox (deadline_at) where dead_at is null;
create index outbox_pending on outbox (channel, provider, message_id) where dead_at is null;
create index outbox_dead on outbox (channel, provider, message_id) where dead_at is not null;
create index outbox_redrivable on outbox (message_id) where dead_at is not null;

create table providers (
    provider       text primary key,
    unserved_since integer not null,
    observed_at    integer not null
) strict, without rowid;

create view messages_with_status as
select
    messages.*,
    case
        when direction = 'inbound' then 'received'
        when outbox.message_id is null then 'dispatched'
        when outbox.dead_at is null then 'pending'
        else 'failed'
    end as status,
    outbox.failure_reason,
    outbox.failure_code
from messages
left join outbox on outbox.message_id = messages.id;

create table attempts (
    message_id   blob not null,
    number       integer not null,
    lease_token  integer not null,
    provider     text not null,
    outcome      text not null,
    error_code   text,
    occurred_at  integer not null,
    latency_ms   integer not null,
    late_outcome text,
    provider_message_id text,
    primary key (message_id, number)
) strict, without rowid;

create table idempotency_keys (
    key         text primary key,
    fingerprint blob not null,
    message_id  blob not null,
    created_at  integer not null
) strict, without rowid;
create index idempotency_keys_by_age on idempotency_keys (created_at);

create table inbound_ids (
    provider            text not null,
    provider_message_id text not null,
    from_participant    text not null,
    to_participant      text not null,
    message_id          blob not null,
    payload             text not null,
    primary key (provider, provider_message_id, from_participant, to_participant)
) strict, without rowid;

-- One row: the latest time of the database's clock, so that the clock of a new process does not start before it.
create table clock (
    id     integer primary key check (id = 1),
    latest integer not null
) strict;

-- One row, which each probe overwrites.
create table probe (
    id     integer primary key check (id = 1),
    filler blob not null
) strict;
