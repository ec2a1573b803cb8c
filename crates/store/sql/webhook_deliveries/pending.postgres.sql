-- The first $2 pending deliveries of each of the endpoints $1.
select pending.*
from unnest($1::uuid[]) as endpoint (id)
cross join lateral (
    select endpoint_id, event_id, type, at, message_id, conversation_id, subject_id, reason, error_code, status, due_at,
        attempts::text
    from webhook_deliveries
    where endpoint_id = endpoint.id and status = 'pending'
    order by endpoint_id, status, event_id
    limit $2
) as pending
