insert into attempts (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms, provider_message_id)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
