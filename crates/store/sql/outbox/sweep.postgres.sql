-- Buries entries that nobody holds and that can no longer be sent. The last error stays with the message; the try of a
-- worker that vanished is on record before, as in claim.
with recursive queues as (
    -- The providers that have entries: one step along the index for each, however many entries there are.
    (select provider from outbox where dead_at is null order by provider limit 1)
    union all
    select (
        select outbox.provider
        from outbox
        where dead_at is null and outbox.provider > queues.provider
        order by outbox.provider
        limit 1
    )
    from queues
    where queues.provider is not null
),
late as (
    select message_id
    from outbox
    where dead_at is null and deadline_at <= now() and (leased_until is null or leased_until <= now())
    limit $2
),
unserved as (
    select entry.message_id
    from queues
    cross join lateral (
        select message_id
        from outbox
        where provider = queues.provider and dead_at is null and (leased_until is null or leased_until <= now())
        limit $2
    ) as entry
    where queues.provider <> all($1)
),
hopeless as (
    select
        message_id, outbox.provider, channel,
        case when outbox.provider = any($1) then 'deadline' else 'no_provider' end as reason,
        leased_until is not null as vanished, attempts + 1 as vanished_attempt, lease_token as vanished_token
    from outbox
    where dead_at is null
        and (leased_until is null or leased_until <= now())
        and message_id in (select message_id from late union all select message_id from unserved)
    limit $2
    for update of outbox skip locked
),
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
    select message_id, vanished_attempt, vanished_token, provider, 'unknown', 'worker_vanished', now(), 0
    from hopeless
    where vanished
),
buried as (
    update outbox
    set
        dead_at = now(),
        leased_until = null,
        attempts = attempts + vanished::integer,
        counted = counted + vanished::integer,
        rate_limited_in_a_row = case when vanished then 0 else rate_limited_in_a_row end,
        failure_reason = reason,
        failure_code = case
            when vanished then 'worker_vanished'
            else (
                select error_code from attempts where message_id = outbox.message_id order by number desc limit 1
            )
        end
    from hopeless
    where outbox.message_id = hopeless.message_id
)
select message_id, provider, channel, reason, vanished from hopeless order by message_id
