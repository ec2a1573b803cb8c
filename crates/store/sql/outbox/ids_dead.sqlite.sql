-- The entries of one channel (?3) and provider (?4), newest processed first, from ?1 on.
select message_id
from outbox
where dead_at is not null and channel = ?3 and provider = ?4 and message_id <= ?1
order by message_id desc
limit ?2
