insert into outbox (message_id, provider, due_at, leased_until, lease_token, deadline_at)
select
    message_id, provider, now(), now() + lease_ms * interval '1 millisecond',
    case when lease_ms is null then 0 else 1 end,
    now() + deadline_ms * interval '1 millisecond'
from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) as input (message_id, provider, lease_ms, deadline_ms)
