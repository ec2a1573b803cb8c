-- Finds what stands in the way of a request: the message that an earlier one with the same key or provider message id
-- has.
select messages.id, messages.conversation_id, fingerprint
from idempotency_keys
join messages on messages.id = idempotency_keys.message_id
where key = ?1
union all
select messages.id, messages.conversation_id, null
from inbound_receipts
join messages on messages.id = inbound_receipts.message_id
where inbound_receipts.provider = ?2 and inbound_receipts.provider_message_id = ?3
