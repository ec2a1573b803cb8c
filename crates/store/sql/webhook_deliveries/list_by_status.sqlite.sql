select event_id, event, at, status, due_at, attempts
from webhook_deliveries
where endpoint_id = ?1 and event_id > ?2 and status = ?5
order by event_id
limit ?3 offset ?4
