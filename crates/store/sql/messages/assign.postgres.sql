-- Gives messages that have no conversation theirs: counts and last activity change in the same statement. A message that
-- another backfill was quicker to assign is left alone: its row is locked first, and looked at again.
with input as (
    select *
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) with ordinality
        as input (id, conversation_channel, participant_a, participant_b, place)
),
unthreaded as (
    select id, timestamp, processed_at
    from messages
    where id = any($1) and conversation_id is null
    order by id
    for update
),
joining as (
    select * from input join unthreaded using (id)
),
shares as (
    select
        participant_a, participant_b, conversation_channel,
        count(*) as messages, max(timestamp) as last_activity_at, min(processed_at) as created_at
    from joining
    group by participant_a, participant_b, conversation_channel
),
threads as (
    insert into conversations as c
        (participant_a, participant_b, channel, message_count, last_activity_at, created_at)
    select participant_a, participant_b, conversation_channel, messages, last_activity_at, created_at
    from shares
    order by participant_a collate "C", participant_b collate "C", conversation_channel
    on conflict (participant_a, participant_b, channel) do update set
        message_count = c.message_count + excluded.message_count,
        last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at)
    returning c.id, c.participant_a, c.participant_b, c.channel, c.message_count
),
placed as (
    select
        joining.id,
        threads.id as conversation_id,
        threads.message_count - shares.messages + row_number() over (
            partition by threads.id order by joining.place
        ) as sequence
    from joining
    join shares using (participant_a, participant_b, conversation_channel)
    join threads
        on threads.participant_a = joining.participant_a
        and threads.participant_b = joining.participant_b
        and threads.channel = joining.conversation_channel
)
update messages
set conversation_id = placed.conversation_id, sequence = placed.sequence
from placed
where messages.id = placed.id
returning messages.sequence
