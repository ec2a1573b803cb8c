-- As ids_of_conversation, of the messages from ?2 that have no conversation.
select id
from messages
where conversation_id is null and from_participant = ?2
    and (?3 is null or to_participant = ?3)
    and (?4 is null or provider = ?4)
    and (?5 is null or channel = ?5)
    and (?6 is null or direction = ?6)
    and (?7 is null or resolution = ?7)
    and (not ?8 or not exists (select 1 from outbox where message_id = messages.id))
limit ?9
