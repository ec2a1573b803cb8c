select conversation_id, sequence from messages where id = ?1
