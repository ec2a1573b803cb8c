-- As ids_of_conversation, of the messages to ?3 that have no conversation.
select id
from messages
where conversation_id is null and to_participant = ?3
    and (?2 is null or from_participant = ?2)
    and (?4 is null or provider = ?4)
    and (?5 is null or channel = ?5)
    and (?6 is null or direction = ?6)
    and (?7 is null or resolution = ?7)
    and (not ?8 or not exists (select 1 from outbox where message_id = messages.id))
limit ?9
