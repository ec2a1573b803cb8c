select id from messages where conversation_id = ?1
