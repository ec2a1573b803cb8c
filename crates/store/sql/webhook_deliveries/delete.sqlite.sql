delete from webhook_deliveries where endpoint_id = ?1 and event_id = ?2
