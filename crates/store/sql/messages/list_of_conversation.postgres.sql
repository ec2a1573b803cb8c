-- The messages of the conversation $4, oldest first. ($5, $6) is the position to start after, or the lowest possible one.
-- Continued by page.postgres.sql.
with counted as (select message_count as total from conversations where id = $4),
chosen as (
    select id, row_number() over (order by timestamp, sequence) as place
    from (
        select id, timestamp, sequence
        from messages
        where (conversation_id, timestamp, sequence) > ($4, $5, $6)
            and (conversation_id, timestamp, sequence) <= ($4, 'infinity', 9223372036854775807)
        order by conversation_id, timestamp, sequence
        limit $1::bigint + 1 offset $3
    ) as next
)
