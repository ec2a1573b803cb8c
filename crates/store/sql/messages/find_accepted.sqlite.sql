-- Finds what stands in the way of a request: the message that an earlier one with the same key or provider message id
-- has.
select messages.id, messages.conversation_id, fingerprint
from idempotency_keys
join messages on messages.id = idempotency_keys.message_id
where key = ?1
union all
select messages.id, messages.conversation_id, null
from receipts
join messages on messages.id = receipts.message_id
where receipts.provider = ?2 and receipts.provider_message_id = ?3
