-- Leases entries that are due or whose lease expired. It skips entries that another node is claiming, and leases none after
-- the deadline. It always returns the server time, in a row of its own if there is no entry.
with due as (
    -- The values for the attempts of expired leases come from here: only a locked row is current; others are as old as the
    -- snapshot of the statement.
    select
        message_id, leased_until is not null as lease_expired, attempts + 1 as expired_attempt,
        lease_token as expired_token, coalesce(leased_until, due_at) as due_since
    from outbox
    where provider = $1 and dead_at is null and coalesce(leased_until, due_at) <= now()
        and coalesce(now() <= $6::timestamptz, true)
    order by coalesce(leased_until, due_at)
    limit $2
    for update skip locked
),
-- The sizes come from the headers of the values, so no content is read for them.
sized as (
    select
        due.*, sum(bytes) over longest_due_first as bytes_so_far, row_number() over longest_due_first as place
    from due
    cross join lateral (
        select
            octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(pg_column_size(attachments), 0)
                + coalesce(pg_column_size(metadata), 0)
                as bytes
        from messages
        where id = due.message_id
        limit 1
    ) as message
    window longest_due_first as (order by due_since, message_id rows unbounded preceding)
),
claimable as (
    select * from sized where place = 1 or bytes_so_far <= $4
),
-- Records the attempt of the worker whose lease expired, because it may have sent the message. The attempt is not counted,
-- because there may have been no call.
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
    select message_id, expired_attempt, expired_token, $1, 'unknown', 'lease_expired', now(), 0
    from claimable
    where lease_expired
),
leased as (
    update outbox
    set
        leased_until = now() + $3 * interval '1 millisecond',
        lease_token = lease_token + 1,
        attempts = attempts + lease_expired::integer,
        lost = lost + lease_expired::integer,
        rate_limited_in_a_row = case when lease_expired then 0 else rate_limited_in_a_row end,
        unsure = unsure or lease_expired
    from claimable
    where outbox.message_id = any(array(select message_id from claimable))
        and outbox.message_id = claimable.message_id
    returning
        outbox.message_id, lease_token, attempts, lost, counted, rate_limited_in_a_row, panics, not_taken, unsure,
        lease_expired, deadline_at, bytes_so_far
)
-- Content beyond the first $5 bytes is loaded by another statement, so that this answer is small, arrives in time, and no
-- lease is lost with it.
select
    leased.message_id as id, conversation_id, channel, sender, recipient,
    case when bytes_so_far <= $5 then subject end as subject,
    case when bytes_so_far <= $5 then body end as body,
    case when bytes_so_far <= $5 then attachments::text end as attachments,
    case when bytes_so_far <= $5 then metadata::text end as metadata,
    bytes_so_far > $5 as to_be_loaded, bytes_so_far,
    lease_token, attempts, lost, counted, rate_limited_in_a_row, panics, not_taken, unsure, lease_expired,
    (extract(epoch from deadline_at - now()) * 1000)::bigint as deadline_in_ms,
    (select count(*) from claimable) < (select count(*) from sized) as cut_short,
    now() as server_time, coalesce(now() > $6::timestamptz, false) as too_late
from (select) as always
left join (
    leased
    cross join lateral (select * from messages where id = leased.message_id limit 1) as messages
) on true
order by leased.message_id
