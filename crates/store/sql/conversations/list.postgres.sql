-- Continued by last_message.postgres.sql. Latest activity first. ($2, $3) is the position to start after, or the highest possible one. Each channel is read in its
-- own order, so that a channel with few conversations is listed quickly. It is read slot by slot, as the index has them.
with counted as (
    -- Counts up to $6.
    select count(*) as total
    from (select from conversations where $1::text is null or channel = $1 limit $6) as found
),
page as (
    select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
    from unnest(case when $1::text is null then array['sms', 'email'] else array[$1] end) as wanted (name)
    cross join lateral (
        select *
        from conversations
        where channel = wanted.name and (last_activity_at, id) < ($2, $3)
            -- Redundant, since a slot is named by its beginning, but it gives the start in the index.
            and activity_slot <= $2
        order by activity_slot desc, last_activity_at desc, id desc
        limit $4::bigint + $5::bigint
    ) as latest
    order by last_activity_at desc, id desc
    limit $4 offset $5
)
select
    total, page.id as listed_id, page.channel as conversation_channel, participant_a, participant_b, message_count,
    last_activity_at, created_at, message.*
from counted
left join page on true
