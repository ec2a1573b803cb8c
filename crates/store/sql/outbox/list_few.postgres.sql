-- As messages/list_by_kind, of the messages whose status ($11) follows from an outbox entry, filtered by everything, also the
-- participants ($12, $13) and the conversation ($14). There are few entries in the states $15: all are read and sorted.
with found as materialized (
    select entry.message_id as id
    from unnest($15::text[]) as wanted (state)
    cross join lateral (select * from outbox_with_status as outbox where outbox.state = wanted.state) as entry
    where message_id >= $6 and status = $11
        and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(conversation_id = $14, true)
        and (
            select coalesce(from_participant = $12, true) and coalesce(to_participant = $13, true)
                and coalesce(direction = $9, true) and coalesce(resolution = $10, true)
            from messages
            where id = entry.message_id
        )
),
counted as (
    -- Counts up to $4.
    select count(*) as total from (select from found limit $4) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select id from found where id < $5 order by id desc limit $1::bigint + 1 offset $3
    ) as newest
)
