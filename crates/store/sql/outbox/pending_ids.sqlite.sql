-- The entries of one provider (?2) and channel (?3), newest processed first. ?1 is the id to start after, or the highest
-- possible one.
select message_id
from outbox
where dead_at is null and provider = ?2 and channel = ?3 and message_id < ?1
order by message_id desc
