-- The shared end of every listing of messages. `listed` has the ids, one more than fit, with their places and sizes;
-- `counted` has the total. The page has at most $1 messages and ends before it exceeds $2 bytes, but not before its first
-- message. Sizes are known without reading content. One statement reads it all, so it is one snapshot.
, fitting as (
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
