select
    message_id, lease_token, attempts, counted, rate_limited_in_a_row, panics,
    leased_until is not null as vanished,
    max(0, deadline_at - ?2) / 1000 as deadline_in_ms
from outbox
where provider = ?1 and dead_at is null and coalesce(leased_until, due_at) <= ?2
order by coalesce(leased_until, due_at)
limit ?3
