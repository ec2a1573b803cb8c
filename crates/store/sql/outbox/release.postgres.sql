update outbox
set leased_until = null
from unnest($1::uuid[], $2::bigint[]) as input (message_id, lease_token)
where outbox.message_id = any($1)
    and outbox.message_id = input.message_id
    and outbox.lease_token = input.lease_token
    and outbox.leased_until is not null
returning outbox.message_id
