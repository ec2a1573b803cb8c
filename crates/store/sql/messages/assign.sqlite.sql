update messages set conversation_id = ?2, sequence = ?3 where id = ?1
