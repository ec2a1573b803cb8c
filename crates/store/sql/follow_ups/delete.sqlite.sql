delete from follow_ups where message_id = ?1 and attempt = ?2 and place = ?3
