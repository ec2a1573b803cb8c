select
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments, metadata, timestamp,
    processed_at, send_at, expires_at, provider, resolution, delivery_status, delivery_error_code, delivery_at,
    delivery_contradicted, due_at, dead_at, attempts, failure_reason, failure_code
from messages_with_status
where id = ?1
