-- Those that may be about the message ?1: by what its attempts say, or because they name it.
select
    receipts.id, receipts.provider, receipts.provider_message_id, receipts.named_message_id, receipts.message_id,
    receipts.status, receipts.error_code, receipts.at, receipts.received_at
from attempts
join receipts on receipts.provider_message_id = attempts.provider_message_id
where attempts.message_id = ?1 and receipts.message_id is null
union
select id, provider, provider_message_id, named_message_id, message_id, status, error_code, at, received_at
from receipts
where message_id is null and named_message_id = ?1
order by id
