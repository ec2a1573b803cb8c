-- Enums (channel, status, outcome …) are text, so that they can be read in psql. Participants compare as bytes (collation
-- "C"), as in the program: their order is part of the key.
--
-- The tables of messages have no foreign keys: each costs a look-up and a row lock per message. The inserting statements
-- guarantee the references, and tests audit them after faults (docs/decisions/0014).

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
    -- Whether a message has this participant outside: outbound messages go to it, inbound ones come from it.
    outside_a        boolean not null default false,
    outside_b        boolean not null default false,
    activity_slot    timestamptz not null generated always as
        (date_bin('10 seconds', last_activity_at, timestamptz '0001-01-01 00:00:00+00')) stored,
    -- The participants come first, so that this index also finds the conversations of participant_a.
    unique (participant_a, participant_b, channel)
)
-- Leaves room for the next version of a row on its page, so that no index changes.
with (fillfactor = 70);
create index conversations_by_activity on conversations (channel, activity_slot desc);
create index conversations_by_participant_b on conversations (participant_b, outside_b);
create index conversations_outside_a on conversations (participant_a) where outside_a;

-- The id is a UUID of version 7, in the order of processed_at.
create table messages (
    id               uuid primary key,
    -- Both are null in an imported message until its backfill.
    conversation_id  bigint,
    sequence         bigint,
    direction        text not null,
    channel          text not null,
    -- As given; the participants are normalized.
    sender           text not null,
    recipient        text not null,
    from_participant text collate "C" not null,
    to_participant   text collate "C" not null,
    -- Our side; the other participant is outside.
    own_participant  text collate "C" not null generated always as
        (case direction when 'outbound' then from_participant else to_participant end) stored,
    subject          text,
    body             text not null,
    attachments      jsonb,
    -- Null if empty.
    metadata         jsonb,
    timestamp        timestamptz not null,
    processed_at     timestamptz not null,
    send_at          timestamptz,
    expires_at       timestamptz,
    provider         text not null,
    -- The final status that the outbox does not show: none, canceled, delivered or undelivered.
    resolution       text not null default 'none',
    -- What the receipts say together; null without any.
    delivery_status       text,
    delivery_error_code   text,
    delivery_at           timestamptz,
    delivery_contradicted boolean
);
-- With the id, a conversation is listed in the order of the ids without reading its messages.
create index messages_by_thread on messages (conversation_id, timestamp, sequence) include (id);
create index messages_unthreaded on messages (id) where conversation_id is null;
create index messages_unthreaded_by_sender on messages (from_participant, to_participant) where conversation_id is null;
create index messages_unthreaded_by_recipient on messages (to_participant) where conversation_id is null;
-- A kind of message has one provider, channel, direction and resolution. A listing reads one range of these for each kind, of
-- all messages or of one of our own participants, so that no filter makes it read others (sql/messages/list_by_kind,
-- list_of_participants). The messages of a participant outside are found along its conversations: an index of them would cost
-- every accept as much again. (Nulls first, so that the planner cannot take the order of the primary key for theirs.)
create index messages_by_kind on messages (provider, channel, direction, resolution, id nulls first);
create index messages_by_own_participant on messages
    (own_participant, provider, channel, direction, resolution, id nulls first);

-- One row for each outbound message that is pending or dead. The lease token only grows, so a worker that lost its lease
-- cannot change the message.
create table outbox (
    message_id            uuid primary key,
    -- Of the message, for its events.
    conversation_id       bigint not null,
    provider              text not null,
    -- The channel of the message.
    channel               text not null,
    due_at                timestamptz not null,
    -- Whether the message was accepted for a later time. Only such an entry can be scheduled.
    delayed               boolean not null default false,
    leased_until          timestamptz,
    lease_token           bigint not null,
    deadline_at           timestamptz not null,
    dead_at               timestamptz,
    attempts              integer not null default 0,
    -- Attempts that ended unknown because a lease expired.
    lost                  integer not null default 0,
    counted               integer not null default 0,
    rate_limited_in_a_row integer not null default 0,
    panics                integer not null default 0,
    -- Attempts at the current provider that it certainly did not take.
    not_taken             integer not null default 0,
    -- Whether an attempt since the accept or the last redrive ended timeout or unknown.
    unsure                boolean not null default false,
    -- Only of dead entries.
    failure_reason        text,
    failure_code          text,
    -- For listings. A delayed entry is scheduled until it is due, and pending from then on.
    state                 text collate "C" not null generated always as (
        case when dead_at is not null then 'dead' when delayed and attempts = 0 then 'delayed' else 'pending' end
    ) stored
);
-- An entry can be claimed when it is due, or when its lease has expired.
create index outbox_claimable on outbox (provider, coalesce(leased_until, due_at)) where dead_at is null;
create index outbox_by_deadline on outbox (deadline_at) where dead_at is null;
create index outbox_by_state on outbox (state, channel, provider, message_id nulls first);
create index outbox_delayed on outbox (due_at) where state = 'delayed';
-- A redrive takes entries in the order of their accept.
create index outbox_redrivable on outbox (message_id) where dead_at is not null;

-- Since when no node has announced a provider, and when a node last looked. Nodes announce every few seconds.
create table providers (
    provider       text collate "C" primary key,
    unserved_since timestamptz not null,
    observed_at    timestamptz not null
);

create view outbox_with_status as
select
    *,
    case
        when dead_at is not null then 'failed'
        when delayed and due_at > now() and attempts = 0 then 'scheduled'
        else 'pending'
    end as status
from outbox;

-- The status of a message follows from its outbox entry, so the two cannot disagree, and a dispatched message is not
-- written again.
create view messages_with_status as
select
    messages.*,
    case
        when direction = 'inbound' then 'received'
        when outbox.message_id is not null then outbox.status
        when resolution = 'none' then 'dispatched'
        else resolution
    end as status,
    outbox.failure_reason,
    outbox.failure_code,
    -- Only of scheduled and pending messages.
    case when outbox.dead_at is null then outbox.due_at end as due_at,
    case when outbox.dead_at is null then outbox.leased_until end as leased_until
from messages
left join outbox_with_status as outbox on outbox.message_id = messages.id;

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
    provider_message_id text collate "C",
    primary key (message_id, number)
);
-- Finds the message of a receipt.
create index attempts_by_provider_message_id on attempts (provider_message_id, message_id)
    where provider_message_id is not null;

-- What happens outside after an attempt took its message. A row is deleted once it is done.
create table follow_ups (
    message_id          uuid not null,
    attempt             integer not null,
    -- Among those of the attempt, from 0.
    place               integer not null,
    provider            text not null,
    provider_message_id text,
    due_at              timestamptz not null,
    -- A node performs it; from then on another one may.
    taken_until         timestamptz,
    -- A receipt has a status; all others are replies.
    receipt_status      text,
    error_code          text,
    reply_body          text,
    primary key (message_id, attempt, place)
);
create index follow_ups_due on follow_ups (coalesce(taken_until, due_at));

-- The receipts of providers as they came.
create table receipts (
    id                  bigint generated always as identity primary key,
    provider            text,
    provider_message_id text collate "C",
    -- Our own id of the message, if the provider echoes it.
    named_message_id    uuid,
    -- The message it was applied to; null until then.
    message_id          uuid,
    status              text not null,
    error_code          text,
    at                  timestamptz not null,
    -- By the node's clock; stored_at is by the database's.
    received_at         timestamptz not null,
    stored_at           timestamptz not null default now()
);
create index receipts_by_message on receipts (message_id, id) where message_id is not null;
create index receipts_unmatched on receipts (id) where message_id is null;
create index receipts_unmatched_by_age on receipts (stored_at) where message_id is null;
create index receipts_unmatched_by_provider_id on receipts (provider_message_id)
    where message_id is null and provider_message_id is not null;
create index receipts_unmatched_by_name on receipts (named_message_id)
    where message_id is null and named_message_id is not null;

-- The event log: a row for each statement that made changes, with one array element for each event. A position drawn before
-- the commit would let a slow transaction appear before events that readers have passed. So a row is stored without a
-- position, and gets one after its commit (sql/events/place).
create table event_batches (
    batch            bigint generated always as identity,
    -- The position of the last event; the others are just before it. Null until it is placed.
    last_position    bigint,
    at               timestamptz not null default now(),
    -- One for each event, or one for all.
    types            text[] not null,
    -- Of the message, or of the webhook endpoint.
    subject_ids      uuid[] not null,
    -- Null for events of webhook endpoints.
    conversation_ids bigint[],
    -- Both are null if no event of the row has one.
    reasons          text[],
    error_codes      text[]
)
-- A row is written twice. Compressing it would cost more than it saves.
with (toast_tuple_target = 8160);
create unique index event_batches_by_position on event_batches (last_position) where last_position is not null;
-- A replay starts at a time.
create index event_batches_by_time on event_batches (at);
create index event_batches_unplaced on event_batches (batch) where last_position is null;

-- The ends of the log. A node that places events locks this row.
create table event_log (
    -- Before the oldest event that is kept.
    start_position bigint not null,
    -- The position of the latest event that is placed.
    end_position   bigint not null
);
create unique index event_log_has_one_row on event_log ((true));
insert into event_log values (0, 0);

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

-- The lease token only grows, as in the outbox: it fences the node that delivers to the endpoint.
create table webhook_endpoints (
    id                uuid primary key,
    -- 1, 2, 3 … : at most one endpoint has each, which bounds their number also when several are created at once.
    slot              integer not null unique,
    url               text not null,
    -- Null is all types.
    types             text[],
    payload           text not null,
    description       text,
    secret            bytea not null,
    -- Latest first, each with the end of its time.
    previous_secrets  bytea[] not null default '{}',
    previous_until    timestamptz[] not null default '{}',
    enabled           boolean not null default true,
    disabled_reason   text,
    created_at        timestamptz not null default now(),
    -- Every event up to here is delivered or has a row in webhook_deliveries.
    cursor            bigint not null,
    replay_until      bigint,
    delivered_total   bigint not null default 0,
    last_delivered_at timestamptz,
    failing_since     timestamptz,
    leased_until      timestamptz,
    lease_token       bigint not null default 0
);

-- Events that did not get through to an endpoint, or wait behind one that did not. The foreign key deletes them with their
-- endpoint, also the rows that a checkpoint stores at the same time.
create table webhook_deliveries (
    endpoint_id     uuid not null references webhook_endpoints on delete cascade,
    event_id        bigint not null,
    -- The event.
    type            text not null,
    at              timestamptz not null,
    message_id      uuid,
    conversation_id bigint,
    -- The endpoint that the event is about.
    subject_id      uuid,
    reason          text,
    error_code      text,
    status          text not null,
    due_at          timestamptz,
    -- Oldest first. Not jsonb, which refuses the NUL that an answer may contain.
    attempts        json not null,
    primary key (endpoint_id, event_id)
);
create index webhook_deliveries_by_status on webhook_deliveries (endpoint_id, status, event_id);
create index webhook_deliveries_failed on webhook_deliveries (event_id) where status = 'failed';
