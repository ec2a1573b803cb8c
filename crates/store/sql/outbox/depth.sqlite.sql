-- Counts up to ?3 pending and ?3 dead entries of a provider. The oldest due entries come first, so the oldest one is always
-- among them.
select
    count(*) filter (where leased_until is null) as waiting,
    count(*) filter (where leased_until is not null) as leased,
    max(0, coalesce(?2 - min(due_at), 0)) / 1000 as oldest_ms,
    (select count(*) from (
        select 1 from outbox where dead_at is not null and channel in ('sms', 'mms', 'email') and provider = ?1 limit ?3
    )) as dead
from (
    select leased_until, due_at
    from outbox
    where dead_at is null and provider = ?1
    order by coalesce(leased_until, due_at)
    limit ?3
)
