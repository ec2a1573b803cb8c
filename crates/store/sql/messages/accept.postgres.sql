-- Stores a batch, or nothing if the batch contains a repeat or the deadline has passed. It always returns the server time.
-- Arrays are unnested side by side in select lists: in a from clause each would be materialized first.
with conflict as materialized (
    select
        coalesce(now() > $37::timestamptz, false)
        or exists (select from idempotency_keys where key = any($1::text[]))
        or exists (
            select
            from unnest($4::text[], $5::text[], $6::text[], $7::text[])
                as given (provider, provider_message_id, from_participant, to_participant)
            cross join lateral (
                select
                from inbound_ids
                where provider = given.provider and provider_message_id = given.provider_message_id
                    and from_participant = given.from_participant and to_participant = given.to_participant
                limit 1
            ) as inbound_id
        ) as found
),
-- Keys, inbound_ids and conversations come sorted, so that two nodes cannot deadlock. If another node has stored one of the
-- keys or inbound ids since the statement began, the statement fails.
new_keys as (
    insert into idempotency_keys (key, fingerprint, message_id)
    select * from (select unnest($1::text[]), unnest($2::bytea[]), unnest($3::uuid[])) as input
    where not (select found from conflict)
),
new_inbound_ids as (
    insert into inbound_ids (provider, provider_message_id, from_participant, to_participant, message_id, payload)
    select *
    from (
        select
            unnest($4::text[]), unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::uuid[]),
            unnest($9::text[])
    ) as input
    where not (select found from conflict)
),
-- Each conversation is updated once, for all its messages in the batch.
counted as (
    insert into conversations as c
        (channel, participant_a, participant_b, message_count, last_activity_at, created_at, outside_a, outside_b)
    select *
    from (
        select
            unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
            unnest($13::bigint[]), unnest($14::timestamptz[]), unnest($15::timestamptz[]),
            unnest($35::boolean[]), unnest($36::boolean[])
    ) as input
    where not (select found from conflict)
    on conflict (participant_a, participant_b, channel) do update set
        message_count = c.message_count + excluded.message_count,
        last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at),
        outside_a = c.outside_a or excluded.outside_a,
        outside_b = c.outside_b or excluded.outside_b
    returning id, message_count, channel, participant_a, participant_b
),
-- Messages find their conversation by its place in the batch, so RETURNING must keep the input order. If it does not, `ids`
-- is empty, and `in_order` divides by zero, which aborts the statement.
in_batch_order as materialized (
    select array_agg(id) as ids, array_agg(message_count) as counts
    from counted
    having array_agg(channel) = $10::text[]
        and array_agg(participant_a) = $11::text[]
        and array_agg(participant_b) = $12::text[]
),
-- Only outbound messages have a deadline.
stored as (
    insert into messages (
        id, conversation_id, sequence, direction, channel, sender, recipient, from_participant, to_participant, subject,
        body, attachments, metadata, timestamp, processed_at, send_at, expires_at, provider
    )
    select
        id, in_batch_order.ids[place], in_batch_order.counts[place] - following,
        case when deadline_ms is null then 'inbound' else 'outbound' end,
        channel, sender, recipient, from_participant, to_participant, subject, body, attachments::jsonb, metadata::jsonb,
        timestamp, processed_at, send_at, expires_at, provider
    from in_batch_order
    cross join (
        select
            unnest($16::uuid[]) as id, unnest($17::bigint[]) as place, unnest($18::bigint[]) as following,
            unnest($19::text[]) as channel, unnest($20::text[]) as sender, unnest($21::text[]) as recipient,
            unnest($22::text[]) as from_participant, unnest($23::text[]) as to_participant,
            unnest($24::text[]) as subject, unnest($25::text[]) as body, unnest($26::text[]) as attachments,
            unnest($27::text[]) as metadata, unnest($28::timestamptz[]) as timestamp,
            unnest($29::timestamptz[]) as processed_at, unnest($30::timestamptz[]) as send_at,
            unnest($31::timestamptz[]) as expires_at, unnest($32::text[]) as provider,
            unnest($34::bigint[]) as deadline_ms
    ) as input
),
queued as (
    insert into outbox
        (message_id, conversation_id, provider, channel, due_at, delayed, leased_until, lease_token, deadline_at)
    select
        message_id, in_batch_order.ids[place], provider, channel, greatest(now(), send_at),
        coalesce(send_at > now(), false), now() + lease_ms * interval '1 millisecond', case when lease_ms is null then 0 else 1 end,
        coalesce(expires_at, greatest(now(), send_at) + deadline_ms * interval '1 millisecond')
    from in_batch_order
    cross join (
        select
            unnest($16::uuid[]) as message_id, unnest($17::bigint[]) as place, unnest($32::text[]) as provider,
            unnest($19::text[]) as channel, unnest($30::timestamptz[]) as send_at,
            unnest($31::timestamptz[]) as expires_at, unnest($33::bigint[]) as lease_ms,
            unnest($34::bigint[]) as deadline_ms
    ) as input
    where deadline_ms is not null
),
-- A new conversation is an event of its first message.
logged as (
    insert into event_batches (types, subject_ids, conversation_ids)
    select case when types[1] = all(types) then types[1:1] else types end, subject_ids, conversation_ids
    from (
        select
            array_agg(type) as types, array_agg(id) as subject_ids, array_agg(in_batch_order.ids[place]) as conversation_ids
        from in_batch_order
        cross join (
            select
                unnest($16::uuid[]) as id, unnest($17::bigint[]) as place, unnest($18::bigint[]) as following,
                unnest($34::bigint[]) as deadline_ms
        ) as input
        cross join lateral unnest(
            case when in_batch_order.counts[place] - following = 1 then array['conversation.created'] end
                || case when deadline_ms is null then 'message.received' else 'message.accepted' end
        ) as type
        having count(*) > 0
    ) as events
)
select ids, counts, now() as server_time, 1 / ((select found from conflict) or ids is not null)::integer as in_order
from (select) as always
left join in_batch_order on true
