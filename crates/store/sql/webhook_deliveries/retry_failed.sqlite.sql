-- Those after the event ?3.
update webhook_deliveries set status = 'pending', due_at = ?2, attempts = '[]'
where endpoint_id = ?1 and status = 'failed' and event_id > ?3
