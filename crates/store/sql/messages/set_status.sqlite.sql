update messages set status = ?2, failure_reason = ?3, failure_code = ?4 where id = ?1
