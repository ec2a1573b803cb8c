-- The pending deliveries of the endpoint $1 after the event $3, if the lease $2 is held. The page has at most $4 rows and ends before
-- its attempts exceed $5 bytes, but not before its first row. `listed` counts one row more than fits.
with held as (
    select now() as read_at from webhook_endpoints where id = $1 and lease_token = $2 and leased_until is not null
),
listed as (
    select
        event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status, due_at, attempts::text,
        row_number() over (order by event_id) as place,
        sum(octet_length(attempts::text)) over (order by event_id) as bytes
    from (
        select * from webhook_deliveries
        where endpoint_id = $1 and status = 'pending' and event_id > $3
        order by endpoint_id, status, event_id
        limit $4::bigint + 1
    ) as next
)
select held.read_at, (select count(*) from listed) as listed, page.*
from held
left join (select * from listed where place <= $4::bigint and (place = 1 or bytes <= $5::bigint)) as page on true
order by event_id
