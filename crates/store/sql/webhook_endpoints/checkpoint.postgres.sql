-- Records progress of the endpoint $1 if the lease $2 is held: an expired one is, until the next. The arrays from $9 on are
-- the deliveries to store.
with progressed as (
    update webhook_endpoints
    set
        cursor = greatest(cursor, $4),
        replay_until = case when replay_until > $4 then replay_until end,
        delivered_total = delivered_total + $5,
        last_delivered_at = case when $5 > 0 then now() else last_delivered_at end,
        failing_since = case
            when $6 then coalesce(case when $5 = 0 then failing_since end, now())
            when $5 = 0 then failing_since
        end,
        enabled = enabled and $7::text is null,
        disabled_reason = $7,
        leased_until = case when $7::text is null then now() + $3 * interval '1 millisecond' end
    where id = $1 and lease_token = $2 and leased_until is not null
    returning id
),
done as (
    delete from webhook_deliveries
    using progressed
    where endpoint_id = progressed.id and event_id = any($8)
),
kept as (
    insert into webhook_deliveries
        (endpoint_id, event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status, due_at, attempts)
    select
        progressed.id, event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status,
        now() + due_in_ms * interval '1 millisecond', attempts::json
    from progressed
    cross join unnest(
        $9::bigint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::bigint[], $14::uuid[], $15::text[], $16::text[],
        $17::text[], $18::float8[], $19::text[]
    ) as delivery (
        event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status, due_in_ms, attempts
    )
    on conflict (endpoint_id, event_id) do update
    set status = excluded.status, due_at = excluded.due_at, attempts = excluded.attempts
),
logged as (
    insert into event_batches (types, subject_ids, reasons)
    select array['webhook_endpoint.disabled'], array[id], array[$7::text]
    from progressed
    where $7::text is not null
)
select id from progressed
