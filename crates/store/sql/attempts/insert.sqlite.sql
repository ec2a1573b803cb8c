insert into attempts (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
