-- Enums (channel, status, outcome …) are text, so that they can be read in psql. Participants compare as bytes (collation
-- "C"), as in the program: their order is part of the key.
--
-- No table has a foreign key: each costs a look-up and a row lock per message. The inserting statements guarantee the
-- references, and tests audit them after faults (docs/decisions/0014).

-- Conversations are listed by their last activity. An index of the exact time would change with every message, and with it
-- every other index of the row. An index of ten-second slots changes once in a slot; each slot is sorted when it is read
-- (docs/decisions/0009).
create table conversations (
    id               bigint generated always as identity primary key,
    channel          text not null,
    participant_a    text collate "C" not null,
    participant_b    text collate "C" not null,
    message_count    bigint not null,
    last_activity_at timestamptz not null,
    created_at       timestamptz not null,
    activity_slot    timestamptz not null generated always as
        (date_bin('10 seconds', last_activity_at, timestamptz '0001-01-01 00:00:00+00')) stored,
    -- The participants come first, so that this index also finds the conversations of participant_a.
    unique (participant_a, participant_b, channel)
)
-- Leaves room for the next version of a row on its page, so that no index changes.
with (fillfactor = 70);
create index conversations_by_activity on conversations (channel, activity_slot desc);
create index conversations_by_participant_b on conversations (participant_b);

-- The id is a UUID of version 7, in the order of processed_at.
create table messages (
    id              uuid primary key,
    -- Both are null in an imported message until its backfill.
    conversation_id bigint,
    sequence        bigint,
    direction       text not null,
    channel         text not null,
    sender          text not null,
    recipient       text not null,
    subject         text,
    body            text not null,
    attachments     jsonb,
    timestamp       timestamptz not null,
    processed_at    timestamptz not null,
    provider        text not null
);
create index messages_by_thread on messages (conversation_id, timestamp, sequence);
create index messages_unthreaded on messages (id) where conversation_id is null;
-- A filtered listing reads one range of this for each kind of message (sql/messages/list_filtered).
create index messages_by_kind on messages (provider, channel, direction, id);

-- One row for each outbound message that is pending or dead. The lease token only grows, so a worker that lost its lease
-- cannot change the message.
create table outbox (
    message_id            uuid primary key,
    provider              text not null,
    -- The channel of the message.
    channel               text not null,
    due_at                timestamptz not null,
    leased_until          timestamptz,
    lease_token           bigint not null,
    deadline_at           timestamptz not null,
    dead_at               timestamptz,
    attempts              integer not null default 0,
    counted               integer not null default 0,
    rate_limited_in_a_row integer not null default 0,
    panics                integer not null default 0,
    -- Attempts at the current provider that it certainly did not take.
    not_taken             integer not null default 0,
    -- Whether an attempt since the accept or the last redrive ended timeout or unknown.
    unsure                boolean not null default false,
    -- Only of dead entries.
    failure_reason        text,
    failure_code          text
);
-- An entry can be claimed when it is due, or when its lease has expired.
create index outbox_claimable on outbox (provider, coalesce(leased_until, due_at)) where dead_at is null;
create index outbox_by_deadline on outbox (deadline_at) where dead_at is null;
-- For listings and counts of pending and dead entries. The channel comes first, so that the planner does not take
-- outbox_claimable instead.
create index outbox_pending on outbox (channel, provider, message_id) where dead_at is null;
create index outbox_dead on outbox (channel, provider, message_id) where dead_at is not null;
-- A redrive takes entries in the order of their accept.
create index outbox_redrivable on outbox (message_id) where dead_at is not null;

-- Since when no node has announced a provider, and when a node last looked. Nodes announce every few seconds.
create table providers (
    provider       text collate "C" primary key,
    unserved_since timestamptz not null,
    observed_at    timestamptz not null
);

-- The status of a message follows from its outbox entry, so the two cannot disagree, and a dispatched message is not
-- written again.
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
    outbox.failure_code,
    -- Only of pending messages.
    case when outbox.dead_at is null then outbox.due_at end as due_at,
    case when outbox.dead_at is null then outbox.leased_until end as leased_until
from messages
left join outbox on outbox.message_id = messages.id;

create table attempts (
    message_id   uuid not null,
    number       integer not null,
    lease_token  bigint not null,
    provider     text not null,
    outcome      text not null,
    error_code   text,
    occurred_at  timestamptz not null,
    latency_ms   bigint not null,
    late_outcome text,
    provider_message_id text,
    primary key (message_id, number)
);

create table idempotency_keys (
    key         text collate "C" primary key,
    fingerprint bytea not null,
    message_id  uuid not null,
    created_at  timestamptz not null default now()
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- The payloads of inbound and imported messages as they came, and the key by which a repeat is recognized. One email to two
-- recipients has one provider message id, so the participants are a part of the key.
create table inbound_ids (
    provider            text not null,
    provider_message_id text not null,
    from_participant    text not null,
    to_participant      text not null,
    message_id          uuid not null,
    payload             text not null,
    primary key (provider, provider_message_id, from_participant, to_participant)
);
