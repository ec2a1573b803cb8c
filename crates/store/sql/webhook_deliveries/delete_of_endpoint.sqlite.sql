delete from webhook_deliveries where endpoint_id = ?1
