-- The messages that wait, or are dead: as in messages/list, but from the outbox, which is as short as they are few.
select
    messages.id, conversation_id, sequence, direction, messages.channel, sender, recipient, subject, body, attachments, timestamp, processed_at,
    case when dead_at is null then 'pending' else 'failed' end as status, messages.provider, failure_reason, failure_code
from outbox
join messages on messages.id = outbox.message_id
where (dead_at is not null) = ?1
    and (?2 is null or outbox.channel = ?2)
    and (?3 is null or outbox.provider = ?3)
    and outbox.message_id < ?4
order by outbox.message_id desc
limit ?5 offset ?6
