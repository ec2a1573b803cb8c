-- Records what came of leased entries: the try and the entry's future, or nothing where the lease is not ours any more. They
-- come in the order of their ids, and are locked in it.
with input as (
    -- Side by side: in a from clause each array would be written down by itself first.
    select
        unnest($1::uuid[]) as message_id, unnest($2::bigint[]) as lease_token, unnest($3::text[]) as disposition,
        unnest($4::bigint[]) as retry_after_ms, unnest($5::text[]) as failure_reason,
        unnest($6::text[]) as outcome, unnest($7::text[]) as error_code, unnest($8::timestamptz[]) as occurred_at,
        unnest($9::bigint[]) as latency_ms,
        unnest($10::integer[]) as attempts, unnest($11::integer[]) as counted,
        unnest($12::integer[]) as rate_limited_in_a_row, unnest($13::integer[]) as panics
),
held as (
    select input.*, entry.provider
    from input
    -- Row by row, in the order of the input. A join is planned for the outbox as it is at that moment: one that is empty
    -- would be read from one end to the other, and still be when a million entries are in it.
    cross join lateral (
        select provider
        from outbox
        where message_id = input.message_id and lease_token = input.lease_token and leased_until is not null
        limit 1
        for update
    ) as entry
),
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
    select message_id, attempts, lease_token, provider, outcome, error_code, occurred_at, latency_ms
    from held
    where outcome is not null
),
finished as (
    delete from outbox
    where message_id = any(array(select message_id from held where disposition = 'finish'))
),
kept as (
    update outbox
    set
        due_at = coalesce(now() + held.retry_after_ms * interval '1 millisecond', due_at),
        leased_until = null,
        dead_at = case held.disposition when 'dead_letter' then now() end,
        attempts = held.attempts,
        counted = held.counted,
        rate_limited_in_a_row = held.rate_limited_in_a_row,
        panics = held.panics,
        failure_reason = held.failure_reason,
        -- That of the last attempt, which an entry that ends without one has on record already.
        failure_code = case
            when held.disposition <> 'dead_letter' then null
            when held.outcome is not null then held.error_code
            else (
                select error_code from attempts where message_id = held.message_id order by number desc limit 1
            )
        end
    from held
    where outbox.message_id = held.message_id
        and outbox.message_id = any(array(select message_id from held where disposition <> 'finish'))
)
select message_id, lease_token from held
