select message_id, attempt, place, provider, provider_message_id, due_at, receipt_status, error_code, reply_body
from follow_ups
where coalesce(taken_until, due_at) <= ?1
order by coalesce(taken_until, due_at)
limit ?2
