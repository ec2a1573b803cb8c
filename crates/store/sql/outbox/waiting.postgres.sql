select due_at, due_at <= now() as due, leased_until is not null as leased
from outbox
where message_id = $1 and dead_at is null
