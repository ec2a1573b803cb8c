delete from idempotency_keys
where key in (select key from idempotency_keys where created_at <= ?1 order by created_at limit ?2)
