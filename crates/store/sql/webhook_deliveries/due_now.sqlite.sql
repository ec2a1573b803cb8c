update webhook_deliveries set due_at = ?2 where endpoint_id = ?1 and status = 'pending' and due_at is not null
