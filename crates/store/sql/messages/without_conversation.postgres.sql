-- Oldest processed first.
select id, channel, sender, recipient
from messages
where conversation_id is null and id > $1
order by id
limit $2
