update messages
set resolution = ?2, delivery_status = ?3, delivery_error_code = ?4, delivery_at = ?5, delivery_contradicted = ?6
where id = ?1
