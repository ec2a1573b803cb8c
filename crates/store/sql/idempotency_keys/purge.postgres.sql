delete from idempotency_keys
where key in (
    select key from idempotency_keys
    where created_at <= now() - $1 * interval '1 millisecond'
    order by created_at
    limit $2
)
returning key
