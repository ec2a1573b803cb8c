update receipts set message_id = ?2 where id = ?1
