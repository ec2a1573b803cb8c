-- Continued by last_message.postgres.sql.
with page as (
    select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
    from conversations
    where id = $1
)
select
    page.id as listed_id, page.channel as conversation_channel, participant_a, participant_b, message_count,
    last_activity_at, created_at, message.*
from page
