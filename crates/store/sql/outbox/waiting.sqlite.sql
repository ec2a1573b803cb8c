select due_at, due_at <= ?2 as due, leased_until is not null as leased
from outbox
where message_id = ?1 and dead_at is null
