select id, provider, provider_message_id, named_message_id, message_id, status, error_code, at, received_at
from receipts
where id = ?1 and message_id is null
