-- Oldest first. (?2, ?3) is the position to start after, or the lowest possible one.
select
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments, timestamp, processed_at,
    status, provider, failure_reason, failure_code
from messages_with_status
where conversation_id = ?1 and (timestamp, sequence) > (?2, ?3)
order by timestamp, sequence
limit ?4 offset ?5
