-- The events after the cursor whose deliveries to the endpoints $1 failed.
select endpoint_id, event_id
from webhook_endpoints
join webhook_deliveries on endpoint_id = id and webhook_deliveries.status = 'failed' and event_id > cursor
where id = any($1::uuid[])
order by event_id
