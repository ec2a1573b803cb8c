update outbox
set
    due_at = coalesce(?2, due_at),
    leased_until = null,
    dead_at = ?3,
    attempts = ?4,
    counted = ?5,
    rate_limited_in_a_row = ?6,
    panics = ?7,
    failure_reason = ?8,
    failure_code = ?9
where message_id = ?1
