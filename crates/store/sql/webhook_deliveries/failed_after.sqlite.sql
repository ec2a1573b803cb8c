select event_id from webhook_deliveries where endpoint_id = ?1 and status = 'failed' and event_id > ?2 order by event_id
