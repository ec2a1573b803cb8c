-- Those of one provider (?2), channel (?3) and direction (?4), without those that are not dispatched yet, or never will be, if ?5.
select id
from messages
where provider = ?2 and channel = ?3 and direction = ?4 and id < ?1
    and (not ?5 or not exists (select 1 from outbox where message_id = messages.id))
order by id desc
