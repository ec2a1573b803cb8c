-- The never tried entries of one channel (?3) and provider (?4) that were accepted for a later time: those that are due by
-- ?5 if ?6, or else the others. Newest processed first, from ?1 on.
select message_id
from outbox
where delayed and attempts = 0 and dead_at is null and channel = ?3 and provider = ?4 and message_id <= ?1 and (due_at <= ?5) = ?6
order by message_id desc
limit ?2
