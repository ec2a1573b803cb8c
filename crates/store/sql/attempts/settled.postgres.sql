-- Which of these settlements took effect in an earlier call whose answer was lost: the attempt is recorded under its lease,
-- or the entry was dead-lettered or rerouted without an attempt.
select input.message_id, input.lease_token
from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::boolean[], $5::text[])
    as input (message_id, lease_token, number, tried, route)
where case
    when input.tried then exists (
        select
        from attempts
        where attempts.message_id = input.message_id
            and attempts.number = input.number
            and attempts.lease_token = input.lease_token
            and attempts.outcome <> 'unknown'
    )
    else exists (
        select
        from outbox
        where outbox.message_id = input.message_id
            and outbox.lease_token = input.lease_token
            and (outbox.dead_at is not null or outbox.leased_until is null and outbox.provider = input.route)
    )
    and not exists (
        select
        from attempts
        where attempts.message_id = input.message_id
            and attempts.lease_token = input.lease_token
            and attempts.outcome = 'unknown'
    )
end
