-- The messages of one kind, newest processed first, from ?1 on: in the conversation ?8, from the participant ?9, to ?10, or any.
-- If ?3, only those without an outbox entry.
select id
from messages
where provider = ?4 and channel = ?5 and direction = ?6 and resolution = ?7 and id <= ?1
    and (?8 is null or conversation_id = ?8)
    and (?9 is null or from_participant = ?9)
    and (?10 is null or to_participant = ?10)
    and (not ?3 or not exists (select 1 from outbox where message_id = messages.id))
order by id desc
limit ?2
