select
    provider,
    count(*) filter (where dead_at is null and leased_until is null) as waiting,
    count(*) filter (where dead_at is null and leased_until is not null) as leased,
    count(*) filter (where dead_at is not null) as dead,
    greatest(0, coalesce(extract(epoch from now() - min(due_at) filter (where dead_at is null)) * 1000, 0))::bigint
        as oldest_ms
from outbox
group by provider
order by provider
