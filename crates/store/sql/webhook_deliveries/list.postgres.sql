-- The deliveries of the endpoint $1 after the event $2, with the status $3. $4 is one more than fit on the page.
with counted as (
    -- Counts up to $6. No row for an unknown endpoint.
    select (
        select count(*)
        from (
            select from webhook_deliveries
            where endpoint_id = $1 and ($3::text is null or status = $3)
            limit $6
        ) as found
    ) as total
    from webhook_endpoints
    where id = $1
)
select counted.total, page.*
from counted
left join (
    select event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status, due_at, attempts::text
    from webhook_deliveries
    where endpoint_id = $1 and event_id > $2 and ($3::text is null or status = $3)
    order by event_id
    limit $4 offset $5
) as page on true
order by event_id
