-- The tables of migrations/postgres/0001_initial.sql; see the comments there. Times are microseconds since 1970 in UTC; ids
-- of messages and webhook endpoints are the 16 bytes of the UUID; attachments, metadata, events and the attempts of deliveries
-- are JSON.

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
    id               blob primary key,
    conversation_id  integer,
    sequence         integer,
    direction        text not null,
    channel          text not null,
    sender           text not null,
    recipient        text not null,
    from_participant text not null,
    to_participant   text not null,
    subject          text,
    body             text not null,
    attachments      text,
    metadata         text,
    timestamp        integer not null,
    processed_at     integer not null,
    send_at          integer,
    expires_at       integer,
    provider         text not null,
    resolution            text not null default 'none',
    delivery_status       text,
    delivery_error_code   text,
    delivery_at           integer,
    delivery_contradicted integer
) strict;
-- Ends with the id and the sender, so that the messages of a participant in a conversation are found without reading them.
create index messages_by_thread on messages (conversation_id, timestamp, sequence, id, from_participant);
create index messages_unthreaded on messages (id) where conversation_id is null;
create index messages_unthreaded_by_sender on messages (from_participant, id) where conversation_id is null;
create index messages_unthreaded_by_recipient on messages (to_participant, id) where conversation_id is null;
-- New messages come to a few places of this index, one for each kind. An index by participant would write another page for
-- each message, so the listing goes by the conversations of a participant, or filters this one (src/sqlite/listing.rs).
create index messages_by_kind on messages (
    provider, channel, direction, resolution, id, conversation_id, from_participant, to_participant
);

create table outbox (
    message_id            blob primary key,
    conversation_id       integer not null,
    provider              text not null,
    channel               text not null,
    due_at                integer not null,
    -- Whether the message has a time to send. Only such an entry can be scheduled.
    delayed             integer not null default 0,
    leased_until          integer,
    lease_token           integer not null,
    deadline_at           integer not null,
    dead_at               integer,
    attempts              integer not null default 0,
    lost                  integer not null default 0,
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
create index outbox_pending on outbox (channel, provider, message_id)
    where dead_at is null and not (delayed and attempts = 0);
-- The scheduled messages, and those that are due and were never tried.
create index outbox_delayed on outbox (channel, provider, message_id, due_at)
    where delayed and attempts = 0 and dead_at is null;
create index outbox_delayed_by_due on outbox (due_at) where delayed and attempts = 0 and dead_at is null;
create index outbox_dead on outbox (channel, provider, message_id) where dead_at is not null;
create index outbox_redrivable on outbox (message_id) where dead_at is not null;

create table providers (
    provider       text primary key,
    unserved_since integer not null,
    observed_at    integer not null
) strict, without rowid;

-- For people and tools. The program computes the status itself, by the database's clock.
create view messages_with_status as
select
    messages.*,
    case
        when direction = 'inbound' then 'received'
        when outbox.dead_at is not null then 'failed'
        when outbox.message_id is not null then
            iif(delayed and attempts = 0 and due_at > unixepoch('subsec') * 1000000, 'scheduled', 'pending')
        when resolution = 'none' then 'dispatched'
        else resolution
    end as status,
    outbox.due_at,
    outbox.dead_at,
    outbox.attempts,
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
create index attempts_by_provider_message_id on attempts (provider_message_id) where provider_message_id is not null;

create table follow_ups (
    message_id          blob not null,
    attempt             integer not null,
    place               integer not null,
    provider            text not null,
    provider_message_id text,
    due_at              integer not null,
    taken_until         integer,
    receipt_status      text,
    error_code          text,
    reply_body          text,
    primary key (message_id, attempt, place)
) strict, without rowid;
create index follow_ups_due on follow_ups (coalesce(taken_until, due_at));

create table receipts (
    -- A purge does not free a number for another receipt.
    id                  integer primary key autoincrement,
    provider            text,
    provider_message_id text,
    named_message_id    blob,
    message_id          blob,
    status              text not null,
    error_code          text,
    at                  integer not null,
    received_at         integer not null
) strict;
create index receipts_by_message on receipts (message_id, id) where message_id is not null;
create index receipts_unmatched on receipts (id) where message_id is null;
create index receipts_unmatched_by_age on receipts (received_at) where message_id is null;
create index receipts_unmatched_by_provider_message_id on receipts (provider_message_id)
    where message_id is null and provider_message_id is not null;
create index receipts_unmatched_by_name on receipts (named_message_id)
    where message_id is null and named_message_id is not null;

-- One row for each transaction that wrote events. Its events have the `count` places up to `last`.
create table event_batches (
    last   integer primary key,
    at     integer not null,
    count  integer not null,
    events text not null
) strict;
create index event_batches_by_age on event_batches (at);

-- One row: the place of the latest event, also after it was purged.
create table event_log (
    id     integer primary key check (id = 1),
    latest integer not null
) strict;
insert into event_log (id, latest) values (1, 0);

create table webhook_endpoints (
    id                    blob primary key,
    url                   text not null,
    types                 text,
    payload               text not null,
    description           text,
    secret                blob not null,
    -- JSON: [[bytes, until] …], latest first.
    previous_secrets      text not null default '[]',
    enabled               integer not null default 1,
    disabled_reason       text,
    created_at            integer not null,
    cursor                integer not null,
    replay_until          integer,
    delivered_total       integer not null default 0,
    last_delivered_at     integer,
    failing_since         integer,
    leased_until          integer,
    lease_token           integer not null default 0
) strict;

create table webhook_deliveries (
    endpoint_id blob not null,
    event_id    integer not null,
    event       text not null,
    at          integer not null,
    status      text not null,
    due_at      integer,
    attempts    text not null,
    primary key (endpoint_id, event_id)
) strict;
create index webhook_deliveries_by_status on webhook_deliveries (endpoint_id, status, event_id);
create index webhook_deliveries_failed on webhook_deliveries (event_id) where status = 'failed';

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
