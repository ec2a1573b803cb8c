-- The entries of `ids_delayed` that are due by ?1, of one channel (?2) and provider (?3) or of all; up to ?4.
select message_id
from outbox
where delayed and attempts = 0 and dead_at is null and due_at <= ?1 and (?2 is null or channel = ?2) and (?3 is null or provider = ?3)
limit ?4
