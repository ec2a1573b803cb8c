-- Buries entries that nobody holds and that can no longer be sent. The last error stays with the message; the try of a
-- worker that vanished is on record before, as in claim.
with hopeless as (
    select
        message_id, provider, case when provider = any($1) then 'deadline' else 'no_provider' end as reason,
        leased_until is not null as vanished, attempts + 1 as vanished_attempt, lease_token as vanished_token
    from outbox
    where dead_at is null
        and (leased_until is null or leased_until <= now())
        and (deadline_at <= now() or provider <> all($1))
    limit $2
    for update skip locked
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
        rate_limited_in_a_row = case when vanished then 0 else rate_limited_in_a_row end
    from hopeless
    where outbox.message_id = hopeless.message_id
),
failed as (
    update messages
    set
        status = 'failed',
        failure_reason = reason,
        failure_code = case
            when vanished then 'worker_vanished'
            else (select error_code from attempts where message_id = messages.id order by number desc limit 1)
        end
    from hopeless
    where messages.id = hopeless.message_id
)
select message_id, provider, reason from hopeless order by message_id
