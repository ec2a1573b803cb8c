-- The messages of one provider (?2), channel (?3) and direction (?4); if ?5, only those without an outbox entry.
select id
from messages
where provider = ?2 and channel = ?3 and direction = ?4 and id < ?1
    and (not ?5 or not exists (select 1 from outbox where message_id = messages.id))
order by id desc
