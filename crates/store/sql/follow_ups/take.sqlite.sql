update follow_ups set taken_until = ?4 where message_id = ?1 and attempt = ?2 and place = ?3
