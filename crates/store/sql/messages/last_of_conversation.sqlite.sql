select id from messages where conversation_id = ?1 order by timestamp desc, sequence desc limit 1
