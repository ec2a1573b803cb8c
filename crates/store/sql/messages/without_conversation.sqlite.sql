-- Oldest processed first. SQLite would sort all of them along messages_by_thread.
select id, channel, sender, recipient
from messages indexed by messages_unthreaded
where conversation_id is null and id > ?1
order by id
limit ?2
