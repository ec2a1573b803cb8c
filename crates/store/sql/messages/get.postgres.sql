select
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments::text, timestamp, processed_at,
    status, provider, failure_reason, failure_code
from messages_with_status
where id = $1
