select
    provider,
    count(*) filter (where dead_at is null and leased_until is null) as waiting,
    count(*) filter (where dead_at is null and leased_until is not null) as leased,
    count(*) filter (where dead_at is not null) as dead,
    max(0, coalesce(?1 - min(due_at) filter (where dead_at is null), 0)) / 1000 as oldest_ms
from outbox
group by provider
order by provider
