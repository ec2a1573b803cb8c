select conversation_id, provider, lost, unsure
from outbox
where message_id = ?1 and lease_token = ?2 and leased_until is not null and dead_at is null
