-- As list_by_kind, of the conversations $15, which have few messages: all are read and sorted. Also filtered by the
-- participants ($12, $13) and the conversation ($14). Without a conversation, imported messages between the participants that
-- have none yet are listed too.
with found as materialized (
    select id
    from unnest($15::bigint[]) as thread (conversation_id)
    cross join lateral (
        select messages.*
        from messages
        -- Written as a range, so that only messages_by_thread has the order.
        where (conversation_id, timestamp, sequence) >= (thread.conversation_id, '-infinity', 0)
            and (conversation_id, timestamp, sequence) <= (thread.conversation_id, 'infinity', 9223372036854775807)
        order by messages.conversation_id, timestamp, sequence
    ) as messages
    where id >= $6
        and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
        and coalesce(resolution = $10, true)
        and coalesce(from_participant = $12, true) and coalesce(to_participant = $13, true)
        and coalesce(coalesce((select status from outbox_with_status where message_id = id), 'dispatched') = $11, true)
    union all
    (
        select id
        from messages
        where $14::bigint is null and conversation_id is null
            and from_participant = $12 and to_participant = $13 and id >= $6
            and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
            and coalesce(resolution = $10, true)
            and coalesce(coalesce((select status from outbox_with_status where message_id = id), 'dispatched') = $11, true)
    )
),
counted as (
    -- Counts up to $4.
    select count(*) as total from (select from found limit $4) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select id
        from found
        where id < $5
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
