update messages set resolution = 'canceled' where id = ?1 returning conversation_id
