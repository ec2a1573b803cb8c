-- Dead-letters entries without a valid lease that can no longer be sent, with their last error code. Expired leases are
-- recorded as in claim.
with unserved as (
    select provider
    from providers
    where provider <> all($1)
        and unserved_since <= now() - $3::float8 * interval '1 millisecond'
        and observed_at >= now() - $4::float8 * interval '1 millisecond'
),
overdue as (
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
expired as (
    select
        message_id, outbox.provider, channel,
        case when outbox.provider in (select provider from unserved) then 'no_provider' else 'deadline' end as reason,
        leased_until is not null as lease_expired, attempts + 1 as expired_attempt, lease_token as expired_token
    from outbox
    where message_id in (select message_id from overdue union all select message_id from stranded)
        -- Checked again on the locked row: it may have been redriven or sent since the statement began.
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
    select message_id, expired_attempt, expired_token, provider, 'unknown', 'lease_expired', now(), 0
    from expired
    where lease_expired
),
dead as (
    update outbox
    set
        dead_at = now(),
        leased_until = null,
        attempts = attempts + lease_expired::integer,
        lost = lost + lease_expired::integer,
        rate_limited_in_a_row = case when lease_expired then 0 else rate_limited_in_a_row end,
        unsure = unsure or lease_expired,
        failure_reason = reason,
        failure_code = case
            when lease_expired then 'lease_expired'
            else (
                select error_code from attempts where message_id = outbox.message_id order by number desc limit 1
            )
        end
    from expired
    where outbox.message_id = expired.message_id
    returning outbox.message_id, conversation_id, failure_reason, failure_code
),
logged as (
    insert into event_batches (types, subject_ids, conversation_ids, reasons, error_codes)
    select
        array_agg('message.failed'::text), array_agg(message_id), array_agg(conversation_id), array_agg(failure_reason),
        array_agg(failure_code)
    from dead
    having count(*) > 0
)
select message_id, provider, channel, reason, lease_expired from expired order by message_id
