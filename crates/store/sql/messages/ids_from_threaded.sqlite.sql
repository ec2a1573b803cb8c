-- As ids_from, without messages that have no conversation.
select id
from messages
where from_participant = ?3 and id <= ?1
    and not exists (
        select 1
        from messages as unthreaded indexed by messages_unthreaded
        where unthreaded.conversation_id is null and unthreaded.id = messages.id
    )
order by id desc
limit ?2
