-- Latest first, before ?1.
select id, provider, provider_message_id, named_message_id, message_id, status, error_code, at, received_at
from receipts
where message_id is null and id < ?1
order by id desc
limit ?2 offset ?3
