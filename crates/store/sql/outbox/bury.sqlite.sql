update outbox set dead_at = ?2 where message_id = ?1
