-- Finds what stands in the way of a request: the message that an earlier one with the same key or provider message id
-- has.
select messages.id, messages.conversation_id, fingerprint
from idempotency_keys
join messages on messages.id = idempotency_keys.message_id
where key = ?1
union all
select messages.id, messages.conversation_id, null
from inbound_ids
join messages on messages.id = inbound_ids.message_id
where inbound_ids.provider = ?2 and inbound_ids.provider_message_id = ?3
