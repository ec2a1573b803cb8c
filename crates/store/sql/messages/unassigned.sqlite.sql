select timestamp, processed_at from messages where id = ?1 and conversation_id is null
