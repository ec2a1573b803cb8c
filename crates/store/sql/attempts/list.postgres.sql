select number, provider, outcome, error_code, occurred_at, latency_ms, late_outcome
from attempts
where message_id = $1
order by number
