-- Newest processed first: the order of the ids. ?4 is the id to start after, or the highest there can be.
select
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments, timestamp, processed_at,
    status, provider, failure_reason, failure_code
from messages_with_status
where (?1 is null or status = ?1)
    and (?2 is null or channel = ?2)
    and (?3 is null or provider = ?3)
    and id < ?4
order by id desc
limit ?5 offset ?6
