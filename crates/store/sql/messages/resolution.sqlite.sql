select conversation_id, resolution, delivery_status, delivery_error_code, delivery_at, delivery_contradicted
from messages
where id = ?1
