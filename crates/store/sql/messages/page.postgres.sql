-- The shared end of every listing of messages. `chosen` has the ids, one more than fit, with their places; `counted` has the
-- total. The page has at most $1 messages and ends before it exceeds $2 bytes, but not before its first message. Sizes are
-- known without reading content. One statement reads it all, so it is one snapshot.
, listed as materialized (
    select chosen.id, place, bytes
    from chosen
    cross join lateral (
        select
            octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(octet_length(attachments::text), 0)
                + coalesce(octet_length(metadata::text), 0) as bytes
        from messages
        where id = chosen.id
    ) as size
),
fitting as (
    select id, place
    from (select id, place, sum(bytes) over (order by place) as bytes from listed) as summed
    where place <= $1 and (place = 1 or bytes <= $2)
)
select counted.total, (select count(*) from listed) as listed, message.*
from counted
left join (
    fitting
    cross join lateral (
        select
            id, conversation_id, sequence, direction, channel, sender, recipient, subject, body,
            attachments::text, metadata::text, timestamp, processed_at, send_at, expires_at, status, provider,
            failure_reason, failure_code, delivery_status, delivery_error_code, delivery_at, delivery_contradicted
        from messages_with_status
        where id = fitting.id
    ) as message
) on true
order by place
