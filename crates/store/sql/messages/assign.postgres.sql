-- Puts messages into their conversations and leaves out those that have one. Each message is locked and then checked, so
-- that two backfills do not both assign it.
with joining as materialized (
    select input.*, message.*
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) with ordinality
        as input (id, channel, participant_a, participant_b, place)
    cross join lateral (
        select
            timestamp, processed_at,
            case direction when 'outbound' then to_participant else from_participant end as outside
        from messages
        where id = input.id and conversation_id is null
        for update
    ) as message
),
-- As in accept: each conversation once, in the order of the keys.
counted as (
    insert into conversations as c
        (channel, participant_a, participant_b, message_count, last_activity_at, created_at, outside_a, outside_b)
    select
        channel, participant_a, participant_b, count(*), max(least(timestamp, processed_at)), min(processed_at),
        bool_or(outside = participant_a), bool_or(outside = participant_b)
    from joining
    group by channel, participant_a, participant_b
    order by participant_a collate "C", participant_b collate "C", channel collate "C"
    on conflict (participant_a, participant_b, channel) do update set
        message_count = c.message_count + excluded.message_count,
        last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at),
        outside_a = c.outside_a or excluded.outside_a,
        outside_b = c.outside_b or excluded.outside_b
    returning id, message_count, channel, participant_a, participant_b
),
placed as (
    select
        joining.id, counted.id as conversation_id,
        counted.message_count + 1 - row_number() over (partition by counted.id order by place desc) as sequence
    from joining
    join counted using (channel, participant_a, participant_b)
)
update messages
set conversation_id = placed.conversation_id, sequence = placed.sequence
from placed
where messages.id = placed.id
returning placed.sequence
