-- As list, for one participant on either side. Each side has its own index.
with theirs as (
    select id from conversations where participant_a = $7
    union
    select id from conversations where participant_b = $7
),
counted as (
    -- Counts up to $6.
    select count(*) as total
    from (
        select
        from theirs
        join conversations using (id)
        where $1::text is null or channel = $1
        limit $6
    ) as found
),
page as (
    select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
    from theirs
    join conversations using (id)
    where ($1::text is null or channel = $1) and (last_activity_at, id) < ($2, $3)
    order by last_activity_at desc, id desc
    limit $4 offset $5
)
select
    total, page.id as listed_id, page.channel as conversation_channel, participant_a, participant_b, message_count,
    last_activity_at, created_at, message.*
from counted
left join page on true
