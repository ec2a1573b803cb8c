select message_id, channel, provider
from outbox
where dead_at is not null
    and (?1 is null or message_id = ?1)
    and (?2 is null or outbox.provider = ?2)
    and (?3 is null or channel = ?3)
    and (?4 is null or failure_reason = ?4)
    and (?5 is null or dead_at < ?5)
order by message_id
limit ?6
