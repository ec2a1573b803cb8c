select number, provider, outcome, error_code, occurred_at, latency_ms, late_outcome, provider_message_id
from attempts
where message_id = ?1
order by number
