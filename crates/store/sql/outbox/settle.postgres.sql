-- Records the results of leased entries: the attempt and the entry's next state, or nothing where the lease is lost. The rows
-- come in the order of their ids and are locked in it.
with input as (
    -- Side by side: in a from clause each array would be materialized first.
    select
        unnest($1::uuid[]) as message_id, unnest($2::bigint[]) as lease_token, unnest($3::text[]) as disposition,
        unnest($4::bigint[]) as retry_after_ms, unnest($5::text[]) as failure_reason, unnest($6::text[]) as route,
        unnest($7::text[]) as outcome, unnest($8::text[]) as error_code, unnest($9::timestamptz[]) as occurred_at,
        unnest($10::bigint[]) as latency_ms, unnest($11::text[]) as provider_message_id,
        unnest($12::integer[]) as attempts, unnest($13::integer[]) as counted,
        unnest($14::integer[]) as rate_limited_in_a_row, unnest($15::integer[]) as panics,
        unnest($16::integer[]) as not_taken
),
held as (
    select
        input.*, entry.conversation_id, entry.provider,
        entry.unsure or coalesce(outcome in ('timeout', 'unknown'), false) as unsure,
        route is not null and (entry.unsure or coalesce(outcome in ('timeout', 'unknown', 'success'), false)) as refused,
        -- That of the last attempt. An entry that ends without an attempt has it on record already.
        case
            when disposition <> 'dead_letter' then null
            when outcome is not null then error_code
            else (
                select error_code from attempts where message_id = input.message_id order by number desc limit 1
            )
        end as failure_code
    from input
    -- Row by row, in the order of the input. A join would be planned for the outbox as it is now: one that is empty would
    -- be scanned as a whole, also when it has a million entries later.
    cross join lateral (
        select conversation_id, provider, unsure
        from outbox
        where message_id = input.message_id and lease_token = input.lease_token and leased_until is not null
        limit 1
        for update
    ) as entry
),
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms, provider_message_id)
    select
        message_id, attempts, lease_token, provider, outcome, error_code, occurred_at, latency_ms, provider_message_id
    from held
    where outcome is not null and not refused
),
finished as (
    delete from outbox
    where message_id = any(array(select message_id from held where disposition = 'finish'))
),
kept as (
    update outbox
    set
        provider = coalesce(held.route, outbox.provider),
        due_at = coalesce(now() + held.retry_after_ms * interval '1 millisecond', due_at),
        leased_until = null,
        dead_at = case held.disposition when 'dead_letter' then now() end,
        attempts = held.attempts,
        counted = held.counted,
        rate_limited_in_a_row = held.rate_limited_in_a_row,
        panics = held.panics,
        not_taken = held.not_taken,
        unsure = held.unsure,
        failure_reason = held.failure_reason,
        failure_code = held.failure_code
    from held
    where outbox.message_id = held.message_id
        and outbox.message_id = any(array(select message_id from held where disposition <> 'finish' and not refused))
),
followed as (
    insert into follow_ups
        (message_id, attempt, place, provider, provider_message_id, due_at, receipt_status, error_code, reply_body)
    select
        held.message_id, held.attempts, follow_up.place, held.provider, held.provider_message_id,
        now() + follow_up.after_ms * interval '1 millisecond', follow_up.receipt_status, follow_up.error_code,
        follow_up.reply_body
    from json_to_recordset($17::text::json) as follow_up (
        message_id uuid, place integer, after_ms bigint, receipt_status text, error_code text, reply_body text
    )
    join held using (message_id)
    where not held.refused
),
rerouted as (
    update messages
    set provider = held.route
    from held
    where messages.id = held.message_id
        and messages.id = any(array(select message_id from held where disposition = 'reroute' and not refused))
),
logged as (
    insert into event_batches (types, subject_ids, conversation_ids, reasons, error_codes)
    select case when types[1] = all(types) then types[1:1] else types end, subject_ids, conversation_ids, reasons, codes
    from (
        select
            array_agg(case disposition when 'finish' then 'message.dispatched' else 'message.failed' end) as types,
            array_agg(message_id) as subject_ids, array_agg(conversation_id) as conversation_ids,
            array_agg(failure_reason) as reasons, array_agg(failure_code) as codes
        from held
        where disposition in ('finish', 'dead_letter')
        having count(*) > 0
    ) as events
)
select message_id, lease_token, refused from held
