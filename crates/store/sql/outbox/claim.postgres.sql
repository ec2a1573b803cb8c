-- Leases entries that are due, and those whose lease ran out. Entries another node is claiming are skipped. None are leased when
-- nobody waits for them any more. Either way it tells what time it is, in a row of its own when there is no other.
with claimable as (
    -- What a vanished worker's try is recorded with comes from here: only a locked row is sure to be the latest, all
    -- others are as old as the snapshot of this statement.
    select
        message_id, leased_until is not null as vanished, attempts + 1 as vanished_attempt,
        lease_token as vanished_token
    from outbox
    where provider = $1 and dead_at is null and coalesce(leased_until, due_at) <= now()
        and coalesce(now() <= $4::timestamptz, true)
    order by coalesce(leased_until, due_at)
    limit $2
    for update skip locked
),
-- The worker of an expired lease may have sent the message before it vanished: that try is on record before the next.
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
    select message_id, vanished_attempt, vanished_token, $1, 'unknown', 'worker_vanished', now(), 0
    from claimable
    where vanished
),
leased as (
    update outbox
    set
        leased_until = now() + $3 * interval '1 millisecond',
        lease_token = lease_token + 1,
        attempts = attempts + vanished::integer,
        counted = counted + vanished::integer,
        rate_limited_in_a_row = case when vanished then 0 else rate_limited_in_a_row end
    from claimable
    where outbox.message_id = any(array(select message_id from claimable))
        and outbox.message_id = claimable.message_id
    returning
        outbox.message_id, lease_token, attempts, counted, rate_limited_in_a_row, panics, vanished, deadline_at
)
select
    messages.id, conversation_id, channel, sender, recipient, subject, body, attachments::text,
    lease_token, attempts, counted, rate_limited_in_a_row, panics, vanished,
    (extract(epoch from deadline_at - now()) * 1000)::bigint as deadline_in_ms,
    now() as told_at, coalesce(now() > $4::timestamptz, false) as too_late
from (select) as always
left join (
    leased
    cross join lateral (select * from messages where id = leased.message_id limit 1) as messages
) on true
order by messages.id
