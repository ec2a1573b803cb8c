select error_code from attempts where message_id = ?1 order by number desc limit 1
