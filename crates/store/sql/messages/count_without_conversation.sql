select count(*) from messages where conversation_id is null
