-- What has no conversation yet, locked so that no other backfill gives it one meanwhile: a row that another was quicker
-- with is looked at again, and left out.
select id, timestamp, processed_at
from messages
where id = any($1) and conversation_id is null
order by id
for update
