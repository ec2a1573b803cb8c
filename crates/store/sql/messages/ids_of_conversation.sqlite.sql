-- In any order, up to ?9. A row is read only if more than its sender is asked for.
select id
from messages
where conversation_id = ?1
    and (?2 is null or from_participant = ?2)
    and (?3 is null or to_participant = ?3)
    and (?4 is null or provider = ?4)
    and (?5 is null or channel = ?5)
    and (?6 is null or direction = ?6)
    and (?7 is null or resolution = ?7)
    and (not ?8 or not exists (select 1 from outbox where message_id = messages.id))
limit ?9
