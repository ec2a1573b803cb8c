-- Buries entries that nobody holds and that can no longer be sent. The last error stays with the message; the try of a
-- worker that vanished is on record before, as in claim.
with unserved as (
    select provider
    from providers
    where provider <> all($1)
        and unserved_since <= now() - $3::float8 * interval '1 millisecond'
        and observed_at >= now() - $4::float8 * interval '1 millisecond'
),
late as (
    select message_id
    from outbox
    where dead_at is null and deadline_at <= now() and (leased_until is null or leased_until <= now())
    limit $2
),
stranded as (
    select entry.message_id
    from unserved
    cross join lateral (
        select message_id
        from outbox
        where provider = unserved.provider and dead_at is null
            and coalesce(leased_until, due_at) <= now() - $3::float8 * interval '1 millisecond'
        limit $2
    ) as entry
),
hopeless as (
    select
        message_id, outbox.provider, channel,
        case when outbox.provider in (select provider from unserved) then 'no_provider' else 'deadline' end as reason,
        leased_until is not null as vanished, attempts + 1 as vanished_attempt, lease_token as vanished_token
    from outbox
    where message_id in (select message_id from late union all select message_id from stranded)
        -- Once more on the row that was locked: it may have been redriven, or sent, since this statement began.
        and dead_at is null
        and (leased_until is null or leased_until <= now())
        and (
            deadline_at <= now()
            or outbox.provider in (select provider from unserved)
            and coalesce(leased_until, due_at) <= now() - $3::float8 * interval '1 millisecond'
        )
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
