update outbox
set
    due_at = coalesce(?2, due_at),
    leased_until = null,
    dead_at = ?3,
    attempts = ?4,
    lost = ?13,
    counted = ?5,
    rate_limited_in_a_row = ?6,
    panics = ?7,
    unsure = ?8,
    not_taken = ?12,
    failure_reason = ?9,
    failure_code = ?10,
    provider = coalesce(?11, provider)
where message_id = ?1
