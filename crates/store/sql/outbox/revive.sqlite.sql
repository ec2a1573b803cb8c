update outbox
set provider = coalesce(?4, provider), dead_at = null, due_at = ?2, deadline_at = ?3, counted = 0, rate_limited_in_a_row = 0, panics = 0, not_taken = 0, unsure = 0,
    failure_reason = null, failure_code = null
where message_id = ?1
