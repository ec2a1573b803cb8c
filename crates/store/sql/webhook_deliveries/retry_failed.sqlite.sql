update webhook_deliveries set status = 'pending', due_at = ?2, attempts = '[]' where endpoint_id = ?1 and status = 'failed'
