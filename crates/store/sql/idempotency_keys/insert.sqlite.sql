insert into idempotency_keys (key, fingerprint, message_id, created_at)
values (?1, ?2, ?3, ?4)

