select messages.id, messages.conversation_id, fingerprint <> ?2 as conflict
from idempotency_keys
join messages on messages.id = idempotency_keys.message_id
where key = ?1
