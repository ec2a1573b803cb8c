select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
from conversations
where id = $1
