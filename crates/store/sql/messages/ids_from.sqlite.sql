-- As ids_of_kind, from one participant.
select id
from messages
where from_participant = ?8 and provider = ?4 and channel = ?5 and direction = ?6 and resolution = ?7 and id <= ?1
    and (not ?3 or not exists (select 1 from outbox where message_id = messages.id))
order by id desc
limit ?2
