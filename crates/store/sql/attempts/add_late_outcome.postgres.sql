-- The outcome that a worker reports after it lost its lease. It only completes the record of its own attempt.
update attempts
set late_outcome = input.outcome, provider_message_id = input.provider_message_id
from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[])
    as input (message_id, lease_token, number, outcome, provider_message_id)
where attempts.message_id = any($1)
    and attempts.message_id = input.message_id
    and attempts.number = input.number
    and attempts.lease_token = input.lease_token
    and attempts.outcome = 'unknown'
    and attempts.late_outcome is null
    and input.outcome is not null
