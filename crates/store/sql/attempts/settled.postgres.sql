-- Which of these settlements took effect already, although whoever asked for them was not told: the try stands under the
-- lease it was made under, or the entry was buried without one.
select input.message_id, input.lease_token
from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::boolean[]) as input (message_id, lease_token, number, tried)
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
            and outbox.dead_at is not null
    )
    and not exists (
        select
        from attempts
        where attempts.message_id = input.message_id
            and attempts.lease_token = input.lease_token
            and attempts.outcome = 'unknown'
    )
end
