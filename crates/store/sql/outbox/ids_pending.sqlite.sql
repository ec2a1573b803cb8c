-- The entries of one channel (?3) and provider (?4), but for those of `ids_delayed`; newest processed first, from ?1 on.
select message_id
from outbox
where dead_at is null and not (delayed and attempts = 0) and channel = ?3 and provider = ?4 and message_id <= ?1
order by message_id desc
limit ?2
