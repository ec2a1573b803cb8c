-- Accepts a batch in one statement, and so in one transaction and one round trip.
with input as (
    select *
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::text[], $16::bytea[],
        $17::bigint[], $18::bigint[], $19::text[], $20::text[]
    ) with ordinality as input (
        id, conversation_channel, participant_a, participant_b, direction, channel, sender, recipient, subject,
        body, attachments, timestamp, processed_at, provider, key, fingerprint,
        deadline_ms, lease_ms, provider_message_id, payload, place
    )
),

-- Repeats lose here, also those inside this batch, so that only winners are counted below. Keys are inserted in their
-- order: two nodes that accept at the same time wait for each other, but never in a circle.
new_keys as (
    insert into idempotency_keys (key, fingerprint, message_id)
    select distinct on (key) key, fingerprint, id
    from input
    where key is not null
    order by key, place
    on conflict do nothing
    returning message_id
),
new_receipts as (
    insert into receipts (provider, provider_message_id, message_id, payload)
    select distinct on (provider, provider_message_id) provider, provider_message_id, id, payload
    from input
    where provider_message_id is not null
    order by provider, provider_message_id, place
    on conflict do nothing
    returning message_id
),
winners as (
    select *
    from input
    where (key is null and provider_message_id is null)
        or id in (select message_id from new_keys)
        or id in (select message_id from new_receipts)
),

-- Each conversation is touched once, in the order of the keys, with the share this batch has in it.
shares as (
    select
        participant_a, participant_b, conversation_channel,
        count(*) as messages, max(timestamp) as last_activity_at, min(processed_at) as created_at
    from winners
    group by participant_a, participant_b, conversation_channel
),
threads as (
    insert into conversations as c
        (participant_a, participant_b, channel, message_count, last_activity_at, created_at)
    select participant_a, participant_b, conversation_channel, messages, last_activity_at, created_at
    from shares
    order by participant_a collate "C", participant_b collate "C", conversation_channel
    on conflict (participant_a, participant_b, channel) do update set
        message_count = c.message_count + excluded.message_count,
        last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at)
    returning c.id, c.participant_a, c.participant_b, c.channel, c.message_count
),
placed as (
    select
        winners.*,
        threads.id as conversation_id,
        threads.message_count - shares.messages + row_number() over (
            partition by threads.id order by winners.place
        ) as sequence
    from winners
    join shares using (participant_a, participant_b, conversation_channel)
    join threads
        on threads.participant_a = winners.participant_a
        and threads.participant_b = winners.participant_b
        and threads.channel = winners.conversation_channel
),
stored as (
    insert into messages (
        id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments,
        timestamp, processed_at, provider
    )
    select
        id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments::jsonb,
        timestamp, processed_at, provider
    from placed
),
queued as (
    insert into outbox (message_id, provider, due_at, leased_until, lease_token, deadline_at)
    select
        id, provider, now(), now() + lease_ms * interval '1 millisecond',
        case when lease_ms is null then 0 else 1 end,
        now() + deadline_ms * interval '1 millisecond'
    from placed
    where direction = 'outbound'
)
select place, conversation_id, sequence from placed
