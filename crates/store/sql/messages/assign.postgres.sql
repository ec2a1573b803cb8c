update messages
set conversation_id = placed.conversation_id, sequence = placed.sequence
from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as placed (id, conversation_id, sequence)
where messages.id = placed.id
