-- Newest processed first, from ?1 on; if ?7, only those without an outbox entry.
select id
from messages
where provider = ?3 and channel = ?4 and direction = ?5 and resolution = ?6 and id <= ?1
    and (not ?7 or not exists (select 1 from outbox where message_id = messages.id))
order by id desc
limit ?2
